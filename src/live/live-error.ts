/** Why a running machine cannot be traced, or a recording not be written: one sentence that says what to do. */
export class LiveError extends Error {
  override name = 'LiveError';
}

/** The code of a system call's error (`ENOENT`), '' of anything else. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? '';
}
