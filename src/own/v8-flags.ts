/**
 * What V8 is told, as scripts/bundle.ts and scripts/binary.ts write it into what starts virtap. V8 takes no compiled code that was made with other flags: `start` is set
 * whenever code is loaded or kept.
 */
export const v8Flags = {
  /** Unpacked bytes count as V8's memory, too: without this, it would look for garbage in all of its small heap at every 10 MB of them. */
  always: '--heap-growing-percent=300',
  /**
   * No TurboFan: what it compiles in a run that is over soon costs more than it saves, and the end of the process waits for it. The second flag has V8's other compiler leave it in code that TurboFan
   * may be asked for later.
   */
  start: '--no-opt --force-emit-interrupt-budget-checks',
  /** What is set after so many ms of CPU time. */
  later: '--opt',
  after: 70,
  /** The version of V8 that both are known to do good in. */
  knownTo: '13.',
};
