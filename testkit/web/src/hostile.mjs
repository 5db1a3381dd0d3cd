// Input that would run a script if a page let it.

/** Texts that end whatever they may have been put into, and then call `hostile`. */
export const HOSTILE = [
  `<script>hostile("script")</script>`,
  `<img src=x onerror='hostile("image")'>`,
  `"><svg onload=hostile("svg")>`,
  `</script><script>hostile("end of script")</script>`,
  `</textarea></title></style><iframe srcdoc='<script>parent.hostile("frame")</script>'>`,
  `'-hostile("quote")-'`,
  "${hostile(`template`)}",
  `<a href="javascript:hostile('link')">x</a>`,
];

/** Lets a page tell us that something of that ran; gives the list of what did. */
export async function watched(page) {
  const ran = [];
  await page.expose("hostile", (what) => {
    ran.push(what);
  });
  return ran;
}
