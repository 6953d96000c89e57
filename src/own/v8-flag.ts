/**
 * Set before anything is compiled: V8 takes no compiled code that was made with other flags. Unpacked bytes count as V8's memory, too: without
 * this, it would look for garbage in all of its small heap at every 10 MB of them.
 */
export const v8Flag = '--heap-growing-percent=300';
