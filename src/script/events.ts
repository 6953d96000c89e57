/**
 * The events that a user declares, by their full names, with the types of their fields; `virtap types` writes the declarations:
 *
 *     declare module 'virtap/script' { interface Events { 'block:block_rq_issue': { readonly dev: number } } }
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be added to
export interface Events {}
