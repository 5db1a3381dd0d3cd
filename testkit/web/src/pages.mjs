// The payment pages, as far as a test has to find its way about them.

import { Session } from "./session.mjs";

/** What the pages are called. */
export const PAYWALL = "Payment Required";
export const PAID = "Payment received";
export const FAILED = "Payment failed";

/** Where things are. */
export const OFFER = "input[name=offer]";
export const PAY = "#pay";
export const MESSAGE = "#message";
export const SESSION = "#session";
export const COPY = "#copy";
const MANUAL = "summary";
const PAYMENT = "#payment";
const SEND = "form button";
const AGAIN = "main a[href]";

/** Starts a session and opens its page. */
export async function openPaywall(page, agent) {
  const session = await Session.start(agent);
  await page.goto(session.url);
  await untilPage(page, PAYWALL);
  return session;
}

/** Waits for one of the pages. */
export async function untilPage(page, title) {
  const is = (title) => document.readyState === "complete" && document.title === title;
  await page.until(`the page is ${title}`, is, title);
}

/** Waits until a page says something; gives what. */
export async function untilMessage(page) {
  const says = (message) => document.querySelector(message)?.textContent.trim();
  return page.until("the page says something", says, MESSAGE);
}

/** Forgets what a page said, so that whatever comes next is news. */
export async function forgetMessage(page) {
  await page.evaluate((message) => (document.querySelector(message).textContent = ""), MESSAGE);
}

/** Opens the box to paste a payment into, if it is not open. */
export async function openManual(page) {
  const isOpen = (payment) => document.querySelector(payment).checkVisibility();
  if (!(await page.evaluate(isOpen, PAYMENT))) await page.click(MANUAL);
}

/** Pastes a payment, and sends it. */
export async function paste(page, text) {
  await openManual(page);
  await page.paste(PAYMENT, text);
  await page.click(SEND);
}

/** From the page of an error back to where one pays. */
export async function tryAgain(page) {
  await page.click(AGAIN);
  await untilPage(page, PAYWALL);
}
