package vaultserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// listener is one, with what its clients need.
type listener struct {
	net.Listener
	address string // with its scheme
	caFile  string // "" for plain HTTP
}

// listen opens a listener on loopback. The certificate is made for it, and is its own
// authority; with TLS a client may show one, as on Vault's own listener.
func listen(o options, caFile string) (listener, error) {
	at := o.listen
	if caFile != "" || o.standby && o.plain && caFile == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return listener{}, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = l.Close()
		return listener{}, errors.New("it listens on loopback alone: it is for tests")
	}
	if o.plain {
		return listener{l, "http://" + l.Addr().String(), ""}, nil
	}
	c, der, err := certificate()
	if err != nil {
		return listener{}, err
	}
	if caFile == "" {
		caFile = filepath.Join(o.dir, "ca.pem")
	}
	f, err := os.OpenFile(caFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return listener{}, err
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), f.Close())
	tl := tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{c}})
	return listener{tl, "https://" + l.Addr().String(), caFile}, err
}

func certificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "vault for tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der, err
}
