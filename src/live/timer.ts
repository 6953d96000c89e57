/** What a timer of Node.js takes, in ms: one that is given more fires at once. */
const longest = 2 ** 31 - 1;

/** Calls `action` after so many ms, however many these are; gives what calls it off. The wait by itself does not keep the process alive. */
export function after(ms: number, action: () => void): () => void {
  let timer: NodeJS.Timeout;
  let left = ms;
  const wait = () => {
    const part = Math.min(left, longest);
    left -= part;
    timer = setTimeout(left > 0 ? wait : action, part).unref();
  };
  wait();
  return () => clearTimeout(timer);
}
