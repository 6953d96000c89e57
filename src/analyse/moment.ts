/** A point of a trace's time: counted from its first event (its origin), or absolute. */
export type Moment = {
  /** In ns. */
  value: bigint;
  absolute: boolean;
  /** The same for a clock of cycles, where it can be one of its time stamps. */
  cycles?: bigint | undefined;
};
