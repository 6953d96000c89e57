/** Something that went wrong in a user's script, as one sentence that says where. */
export class ScriptError extends Error {
  override name = 'ScriptError';
}
