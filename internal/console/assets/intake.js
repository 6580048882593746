// Encrypts a Secret's value to the server's key before the form is sent. The
// format is that of the server's package intake; the names are those of RFC 9180.
// Without this script, or where the browser offers no cryptography, the form is
// sent as it is, and the page says so.
"use strict";
(() => {
  const form = document.getElementById("store");
  const subtle = window.isSecureContext && window.crypto && window.crypto.subtle;
  if (!form || !subtle) return;
  const field = (name) => form.elements.namedItem(name);
  const say = (text) => { document.getElementById("how-sent").textContent = text; };
  say("This page encrypts the value to the server's key before it sends it.");

  const bytes = (x) => (typeof x === "string" ? new TextEncoder().encode(x) : x);
  const join = (...parts) => {
    const all = parts.map(bytes);
    const out = new Uint8Array(all.reduce((n, b) => n + b.length, 0));
    all.reduce((at, b) => (out.set(b, at), at + b.length), 0);
    return out;
  };
  const number = (n, size) => Uint8Array.from({ length: size }, (_, i) => (n >>> (8 * (size - 1 - i))) & 255);
  const part = (x) => join(number(bytes(x).length, 4), x);
  const fromBase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const toBase64 = (b) => btoa(Array.from(b, (c) => String.fromCharCode(c)).join(""));

  const hmac = async (key, data) => {
    const k = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await subtle.sign("HMAC", k, data));
  };
  const none = new Uint8Array(32); // HMAC's padding of an empty key, which a browser does not import
  const KEM = join("KEM", number(0x0010, 2)); // P-256, HKDF-SHA256
  const HPKE = join("HPKE", number(0x0010, 2), number(0x0001, 2), number(0x0002, 2)); // HKDF-SHA256, AES-256-GCM
  const extract = (suite, salt, label, ikm) => hmac(salt, join("HPKE-v1", suite, label, ikm));
  const expand = async (suite, prk, label, info, size) => // at most 32 bytes
    (await hmac(prk, join(number(size, 2), "HPKE-v1", suite, label, info, number(1, 1)))).slice(0, size);

  const seal = async (publicKey, info, text) => {
    const curve = { name: "ECDH", namedCurve: "P-256" };
    const to = await subtle.importKey("raw", publicKey, curve, false, []);
    const own = await subtle.generateKey(curve, false, ["deriveBits"]);
    const enc = new Uint8Array(await subtle.exportKey("raw", own.publicKey));
    const dh = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: to }, own.privateKey, 256));
    const shared = await expand(KEM, await extract(KEM, none, "eae_prk", dh), "shared_secret", join(enc, publicKey), 32);
    const context = join(number(0, 1), await extract(HPKE, none, "psk_id_hash", ""), await extract(HPKE, none, "info_hash", info));
    const secret = await extract(HPKE, shared, "secret", "");
    const key = await subtle.importKey("raw", await expand(HPKE, secret, "key", context, 32), "AES-GCM", false, ["encrypt"]);
    const iv = await expand(HPKE, secret, "base_nonce", context, 12);
    return join(enc, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, key, text)));
  };

  // What is bound besides the name: where the value may be used, as the server
  // makes it of the same form.
  const about = () => {
    const origins = field("origins").value.split(/\s+/).filter((o) => o);
    const anywhere = field("anywhere").checked;
    const out = {};
    if (origins.length || anywhere) out.scope = origins.length ? { origins } : {};
    if (field("expires").value) out.expires = field("expires").value + "T00:00:00Z";
    if (anywhere) out.anyOrigin = true;
    if (field("recorded").checked) out.althoughRecorded = true;
    return JSON.stringify(out);
  };
  const values = () => (field("form").value === "login" ? ["password", "username"] : ["token"]); // sorted
  const every = ["token", "username", "password"];

  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(form.dataset.intake, { headers: { Accept: "application/json" }, credentials: "same-origin", redirect: "error" });
      if (!answer.ok) throw new Error("no key");
      const key = await answer.json();
      const nonce = fromBase64(key.nonce);
      const text = join(...values().flatMap((name) => [part(name), part(field(name).value)]));
      const info = join(...["sallyport secret intake v1", key.tenant, field("name").value, about(), nonce].map(part));
      field("sealed").value = toBase64(join(number(1, 1), nonce, await seal(fromBase64(key.publicKey), info, text)));
    } catch {
      busy = false;
      say("The value could not be encrypted, so nothing was sent. Reload the page and try again.");
      return;
    }
    for (const name of every) {
      field(name).value = "";
      field(name).disabled = true; // what is disabled is not sent
    }
    form.submit();
  });
  window.addEventListener("pageshow", () => { // also when the browser comes back to it
    busy = false;
    field("sealed").value = "";
    for (const name of every) field(name).disabled = false;
  });
})();
