"use strict";
(() => {
  const session = document.getElementById("session");
  const button = document.getElementById("copy");
  button.addEventListener("click", async () => {
    // The clipboard is there over https and on this computer only.
    try {
      await navigator.clipboard.writeText(session.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(session);
    }
  });
})();
