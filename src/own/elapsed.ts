/** Time since this process began, in ms: performance.now() would have Node.js load as much as takes 1 ms. */
export function elapsed(): number {
  return process.uptime() * 1000;
}
