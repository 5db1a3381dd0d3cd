"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const button = document.getElementById("pay");
  const say = (text) => {
    document.getElementById("message").textContent = text;
  };
  const wallet = () => window.ethereum;

  const toBase64 = (text) => {
    let binary = "";
    for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
    return btoa(binary);
  };

  const makeNonce = () => {
    let nonce = "0x";
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      nonce += byte.toString(16).padStart(2, "0");
    }
    return nonce;
  };

  const sign = async (offer) => {
    const [from] = await wallet().request({ method: "eth_requestAccounts" });
    if ((await wallet().request({ method: "eth_chainId" })) !== offer.chainId) {
      await wallet().request({
        method: "wallet_switchEthereumChain",
        params: [{ chainId: offer.chainId }],
      });
    }
    const authorization = {
      from,
      to: offer.accepted.payTo,
      value: offer.accepted.amount,
      validAfter: "0",
      validBefore: data.validBefore,
      nonce: makeNonce(),
    };
    const typed = { ...offer.typed, message: authorization };
    const signature = await wallet().request({
      method: "eth_signTypedData_v4",
      params: [from, JSON.stringify(typed)],
    });
    const payment = {
      x402Version: data.x402Version,
      payload: { signature, authorization },
      accepted: offer.accepted,
    };
    if (data.resource) payment.resource = data.resource;
    return payment;
  };

  const send = async (payment) => {
    const answer = await fetch("?session_id=" + encodeURIComponent(data.session), {
      headers: { "PAYMENT-SIGNATURE": toBase64(JSON.stringify(payment)) },
    });
    if (answer.ok) {
      location.replace("?session_id=" + encodeURIComponent(data.session));
      return;
    }
    // Parsed apart from this page: nothing of it runs. Its head would only be complained about.
    const text = await answer.text();
    const body = text.slice(Math.max(text.indexOf("<body"), 0));
    const page = new DOMParser().parseFromString(body, "text/html");
    const message = page.getElementById("message");
    say((message && message.textContent) || "The payment was not taken (" + answer.status + ").");
  };

  button.addEventListener("click", async () => {
    const chosen = document.querySelector("input[name=offer]:checked");
    const offer = chosen && data.offers[Number(chosen.value)];
    if (!wallet()) {
      say("There is no wallet in this browser. A payment that was signed elsewhere can be pasted below.");
    } else if (!offer || !offer.typed) {
      say("This way to pay cannot be signed here.");
    } else {
      button.disabled = true;
      say("");
      try {
        await send(await sign(offer));
      } catch (error) {
        say((error && error.message) || "The wallet did not sign.");
      }
      button.disabled = false;
    }
  });
})();
