/** How long a pipe may go on after Ctrl-C: the recorder at its other end got it too, and writes what it still holds. */
const grace = 1000;

/**
 * Ctrl-C as the end of reading rather than of the program. A second one ends the program at once. Where `end` is given, it makes the
 * reading end.
 */
export function onInterrupt(
  pipe: boolean,
  end?: () => void,
): {
  /** The promise's result, or undefined where Ctrl-C came first. */
  orElse<T>(promise: Promise<T>): Promise<T | undefined>;
  end(): void;
} {
  let stopped = false;
  let wake: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    stopped = true;
    wake?.();
  };
  const handler = () => {
    process.once('SIGINT', () => process.exit(130));
    if (end !== undefined) end();
    else if (pipe) timer = setTimeout(stop, grace);
    else stop();
  };
  process.once('SIGINT', handler);
  return {
    // A plain race would leave a reaction behind on the long-lived promise with every batch.
    orElse: <T>(promise: Promise<T>) =>
      new Promise<T | undefined>((resolve, reject) => {
        if (stopped) {
          promise.catch(() => {});
          resolve(undefined);
          return;
        }
        wake = () => resolve(undefined);
        promise.then(resolve, reject);
      }),
    end: () => {
      process.removeListener('SIGINT', handler);
      clearTimeout(timer);
      wake = undefined;
    },
  };
}
