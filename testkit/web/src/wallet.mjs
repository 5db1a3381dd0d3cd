// A wallet as browsers have them (EIP-1193), which really signs, with the key of a payer.

/** The chain that it is on at first: never the one that is asked for. */
const ELSEWHERE = "0x1";

const REFUSED = 4001;
const UNSUPPORTED = 4200;
const INVALID = -32602;

class WalletError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Wallet {
  #account;
  #chain = ELSEWHERE;
  /** The methods that were called, in order. */
  calls = [];
  /** What it says instead of signing, if it is to. */
  refusal = undefined;
  /** What becomes of a signature, if it is not to be the right one. */
  change = undefined;

  constructor(account) {
    this.#account = account;
  }

  /** Makes it the wallet of a page, from its next document on. */
  async into(page) {
    await page.expose("askWallet", (request) => this.request(request));
    await page.onLoad("window.ethereum = { request: (request) => window.askWallet(request) }");
  }

  async request({ method, params }) {
    this.calls.push(method);
    switch (method) {
      case "eth_requestAccounts":
        return [this.#account.address.toLowerCase()];
      case "eth_chainId":
        return this.#chain;
      case "wallet_switchEthereumChain":
        if (!/^0x[1-9a-f][0-9a-f]*$/.test(params?.[0]?.chainId)) {
          throw new WalletError(INVALID, "a chain is a hexadecimal number");
        }
        this.#chain = params[0].chainId;
        return null;
      case "eth_signTypedData_v4":
        return this.#sign(...params);
      default:
        throw new WalletError(UNSUPPORTED, `there is no ${method}`);
    }
  }

  /** Signs if a wallet would: its own address, the chain it is on, types that are complete. */
  async #sign(address, text) {
    if (this.refusal) throw new WalletError(REFUSED, this.refusal);
    if (address.toLowerCase() !== this.#account.address.toLowerCase()) {
      throw new WalletError(INVALID, `not an account of this wallet: ${address}`);
    }
    const { types, primaryType, domain, message } = JSON.parse(text);
    if (Number(domain.chainId) !== Number(this.#chain)) {
      throw new WalletError(INVALID, `the wallet is on chain ${Number(this.#chain)}`);
    }
    const { EIP712Domain, ...others } = types;
    const declared = EIP712Domain?.map(({ name }) => name).sort().join();
    if (declared !== Object.keys(domain).sort().join()) {
      throw new WalletError(INVALID, `EIP712Domain does not describe the domain: ${declared}`);
    }
    const signature = await this.#account.signTypedData({
      types: others,
      primaryType,
      domain: { ...domain, chainId: Number(domain.chainId) },
      message: numbers(others[primaryType], message),
    });
    return this.change ? this.change(signature) : signature;
  }
}

/** A message with its numbers as such; in JSON they are text. */
function numbers(fields, message) {
  const value = ({ name, type }) => {
    return [name, type.startsWith("uint") ? BigInt(message[name]) : message[name]];
  };
  return Object.fromEntries(fields.map(value));
}
