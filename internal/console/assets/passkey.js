// Asks the person's authenticator for what a form needs: a signature for a verdict,
// or a new passkey. The challenge is the server's, made for exactly this form; what
// the authenticator says is put into the form and sent with it.
"use strict";
(() => {
  const buttons = Array.from(document.querySelectorAll("button[data-passkey]"));
  const enrol = document.getElementById("enrol");
  if (!window.isSecureContext || !window.PublicKeyCredential) return;
  const field = (form, name) => form.elements.namedItem(name);
  const fromBase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const toBase64 = (b) => btoa(Array.from(new Uint8Array(b), (c) => String.fromCharCode(c)).join(""));
  const keys = (ids) => (ids || []).map((id) => ({ type: "public-key", id: fromBase64(id) }));

  const ask = async (path, fields) => {
    const r = await fetch(path, { method: "POST", body: new URLSearchParams(fields), headers: { Accept: "application/json" }, credentials: "same-origin", redirect: "error" });
    const got = await r.json().catch(() => ({ detail: "The server gave no answer: reload the page." }));
    if (!r.ok) throw new Error([got.detail, got.hint].filter((s) => s).join(" "));
    if (got.origin !== location.origin) throw new Error("Passkeys of this server work at " + got.origin + " alone: open this page there.");
    return got;
  };
  const sign = async (form, c) => {
    const got = await navigator.credentials.get({ publicKey: { challenge: fromBase64(c.challenge), rpId: c.party, allowCredentials: keys(c.credentials), userVerification: "required", timeout: 110000 } });
    field(form, "credential").value = toBase64(got.rawId);
    field(form, "authenticator").value = toBase64(got.response.authenticatorData);
    field(form, "client").value = toBase64(got.response.clientDataJSON);
    field(form, "signature").value = toBase64(got.response.signature);
  };
  let busy = false;
  const once = async (form, work) => {
    if (busy) return;
    busy = true;
    const say = (text) => { form.querySelector("[role=status]").textContent = text; };
    say("Your browser asks for the passkey.");
    try {
      await work(say);
    } catch (e) {
      busy = false;
      say(e.name === "Error" ? e.message : "The passkey gave no answer, so nothing was sent.");
    }
  };
  const off = (form, ...names) => {
    for (const name of names) if (field(form, name)) field(form, name).disabled = true; // what is disabled is not sent
  };

  for (const button of buttons) {
    const form = button.form;
    button.hidden = false;
    button.addEventListener("click", () => once(form, async () => {
      const chosen = button.dataset.verdict || (form.querySelector("input[name=verdict]:checked") || {}).value;
      if (!chosen) throw new Error("Choose approve or reject first.");
      const c = await ask(button.dataset.passkey, { verdict: chosen, digest: field(form, "digest").value });
      await sign(form, c);
      field(form, "challenge").value = c.id;
      off(form, "password", "code");
      form.submit();
    }));
  }
  if (enrol) {
    enrol.querySelector("button").disabled = false;
    if (location.hash.length > 1) {
      field(enrol, "link").value = location.hash.slice(1);
      history.replaceState(null, "", location.pathname); // it is good once: it need not stay there
    }
    enrol.addEventListener("submit", (event) => {
      event.preventDefault();
      once(enrol, async (say) => {
        const c = await ask(enrol.action + "/challenge", {});
        const made = await navigator.credentials.create({ publicKey: {
          challenge: fromBase64(c.challenge), rp: { id: c.party, name: "Sallyport" }, user: { id: fromBase64(c.user), name: c.name, displayName: c.name },
          pubKeyCredParams: c.algorithms.map((alg) => ({ type: "public-key", alg })), excludeCredentials: keys(c.others),
          authenticatorSelection: { userVerification: "required" }, attestation: "none", timeout: 110000 } });
        field(enrol, "attestation").value = toBase64(made.response.attestationObject);
        field(enrol, "created").value = toBase64(made.response.clientDataJSON);
        field(enrol, "challenge").value = c.id;
        if (!field(enrol, "link").value) {
          if (!c.credentials || !c.credentials.length) throw new Error("It takes an admin's link: you have no passkey yet that counts.");
          say("Now the passkey that you have, to let the new one in.");
          await sign(enrol, c);
        }
        enrol.submit();
      });
    });
  }
  window.addEventListener("pageshow", () => { // also when the browser comes back to it
    busy = false;
    for (const form of [...buttons.map((b) => b.form), enrol]) {
      if (!form) continue;
      for (const name of ["challenge", "credential", "authenticator", "client", "signature", "attestation", "created"]) if (field(form, name)) field(form, name).value = "";
      for (const name of ["password", "code"]) if (field(form, name)) field(form, name).disabled = false;
    }
  });
})();
