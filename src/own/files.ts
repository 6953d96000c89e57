import { readFileSync } from 'node:fs';
import { getAsset, isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';

/*
 * Where this program's own files are. It comes in three forms: TypeScript as it is, in a clone; bundles in dist/, of a clone or of the package;
 * one executable that holds everything. Wherever that makes a difference stands here, in thread.ts and in src/script/faces.ts.
 */
export const form = isSea() ? 'executable' : import.meta.url.endsWith('.ts') ? 'sources' : 'bundles';

/** The folder of package.json; the paths of all other files count from there. Bundles lie side by side in dist/. */
export const root = new URL(form === 'sources' ? '../../' : '../', import.meta.url);

/** URL of the folder that the running code is in. */
export const code = new URL(form === 'sources' ? 'src/' : 'dist/', root).href;

/** The text of one of our own files, from the executable where that holds it. */
export function ownText(path: string): string {
  return form === 'executable' ? getAsset(path, 'utf8') : readFileSync(new URL(path, root), 'utf8');
}

/** Whether there is such a file of our own. */
export function hasOwn(path: string): boolean {
  try {
    ownText(path);
    return true;
  } catch {
    return false;
  }
}

/** The command line that runs this program, without a command. */
export function ownProgram(): string[] {
  if (form === 'executable') return [process.execPath];
  return [process.execPath, fileURLToPath(new URL(form === 'sources' ? 'cli/main.ts' : 'virtap.js', code))];
}

/** This virtap's version. */
export function version(): string {
  return (JSON.parse(ownText('package.json')) as { version: string }).version;
}
