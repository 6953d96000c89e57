/** Something the user asked for that cannot be: one sentence, printed as `virtap: …`, exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
  /** What is printed below it: what to do instead, or what else is known. */
  readonly lines: readonly string[];

  constructor(sentence: string, ...lines: string[]) {
    super(sentence);
    this.lines = lines;
  }
}
