// What the fake facilitator was asked, and whether it should have been content: it looks at no
// signature itself.

import { authorizationTypes } from "@x402/evm";
import { verifyTypedData } from "viem";

import { PATIENCE } from "./a2a.mjs";

export class Facilitator {
  #address;

  constructor(address) {
    this.#address = address;
  }

  /** The requests to a path (`/verify`, `/settle`) that paid with this nonce. */
  async asked(path, nonce) {
    const query = new URLSearchParams({ path, contains: nonce });
    const signal = AbortSignal.timeout(PATIENCE);
    const log = await fetch(`${this.#address}/__log?${query}`, { signal });
    const { requests } = await log.json();
    return requests.map(({ body }) => body);
  }

  /** How often each of them was asked about a payment: never settled unless verified. */
  async counts({ payload }) {
    const { nonce } = payload.authorization;
    const [verify, settle] = await Promise.all(
      ["/verify", "/settle"].map((path) => this.asked(path, nonce)),
    );
    return { verify: verify.length, settle: settle.length };
  }
}

/** Whether a facilitator's request holds what a chain would accept from this payer. */
export async function isSigned({ paymentPayload, paymentRequirements }, address) {
  const { signature, authorization } = paymentPayload.payload;
  const { network, asset, extra, payTo, amount } = paymentRequirements;
  const { from, to, value, validAfter, validBefore, nonce } = authorization;
  if (to.toLowerCase() !== payTo.toLowerCase() || value !== amount) return false;
  return verifyTypedData({
    address,
    signature,
    types: authorizationTypes,
    primaryType: "TransferWithAuthorization",
    domain: {
      name: extra.name,
      version: extra.version,
      chainId: Number(network.split(":")[1]),
      verifyingContract: asset,
    },
    message: {
      from,
      to,
      value: BigInt(value),
      validAfter: BigInt(validAfter),
      validBefore: BigInt(validBefore),
      nonce,
    },
  });
}
