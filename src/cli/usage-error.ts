/** Something the user asked for that cannot be: one sentence, printed as `virtap: …`, exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
