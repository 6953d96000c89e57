import { existsSync, readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { basename, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { code } from '../own/files.ts';
import { setupOf, type Tools } from './analyzer.ts';
import { faceOf, faceSource, importFile, prepareFaces } from './faces.ts';
import { ScriptError } from './script-error.ts';

/** A script that was loaded, but not begun. */
export type Script = {
  /** As the user named it. */
  file: string;
  setup: (tools: Tools) => unknown;
};

/** Whether a file is a script by its name. */
export function isScript(file: string): boolean {
  return /\.[cm]?[jt]s$/.test(file);
}

/** Loads scripts, TypeScript as it is. Throws a ScriptError where one cannot be loaded, or is no analyzer. */
export async function loadScripts(files: readonly string[]): Promise<Script[]> {
  const urls = files.map((file) => pathToFileURL(resolve(file)).href);
  await prepareFaces();
  hook(new Set(urls));
  const scripts: Script[] = [];
  for (const [n, file] of files.entries()) scripts.push(await load(file, urls[n] as string));
  return scripts;
}

async function load(file: string, url: string): Promise<Script> {
  let exported: { default?: unknown };
  try {
    exported = await importFile(url);
  } catch (error) {
    throw new ScriptError(whileLoading(file, error));
  }
  const setup = setupOf(exported.default);
  if (setup === undefined) {
    throw new ScriptError(
      `${file}: its default export is no analyzer; expected: import { analyzer } from 'virtap/script'; export default analyzer(() => ({ … }))`,
    );
  }
  return { file, setup };
}

/**
 * Makes scripts' imports work wherever they lie: `virtap` and `virtap/script` are this program. TypeScript is ECMAScript modules, whatever
 * the nearest package.json says or does not say, also below node_modules, where Node itself refuses to strip types.
 */
function hook(scripts: ReadonlySet<string>): void {
  registerHooks({
    resolve(specifier, context, next) {
      const face = faceOf(specifier);
      return face === undefined ? next(specifier, context) : { url: face, shortCircuit: true };
    },
    load(url, context, next) {
      const source = faceSource(url);
      if (source !== undefined) return { format: 'module', source, shortCircuit: true };
      if (url.startsWith(code) || !url.startsWith('file:')) return next(url, context);
      if (/\.m?ts$/.test(url)) {
        if (!url.includes('/node_modules/')) return next(url, { ...context, format: 'module-typescript' });
        return { format: 'module', source: stripped(fileURLToPath(url)), shortCircuit: true };
      }
      return next(url, scripts.has(url) && url.endsWith('.js') ? { ...context, format: 'module' } : context);
    },
  });
}

function stripped(file: string): string {
  // Node calls the function experimental on standard error, which is nothing that the user could do anything about.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(readFileSync(file, 'utf8'));
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Where in a script an error arose: `leaks.ts:12`, or undefined where it arose elsewhere. */
export function placeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // A syntax error's stack begins with the place alone.
  for (const line of (error.stack ?? '').split('\n')) {
    const found = /(file:\/\/[^\s)]+?):(\d+)(?::\d+)?\)?$/.exec(line);
    if (found === null || (found[1] as string).startsWith(code)) continue;
    return `${shown(fileURLToPath(found[1] as string))}:${found[2]}`;
  }
  return undefined;
}

/** What went wrong, without the stack: virtap's own sentences as they are, others with their kind. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const [first] = error.message.trim().split('\n');
  return error instanceof ScriptError ? (first as string) : `${error.name}: ${first}`;
}

function whileLoading(file: string, error: unknown): string {
  if (!existsSync(file)) return `${file}: no such file`;
  const unknown = /^Cannot find (?:module|package) '([^']*)'/.exec((error as Error).message);
  if (unknown !== null) return `${file}: it imports ${shown(unknown[1] as string)}, which is not there`;
  return `${placeOf(error) ?? file}: ${messageOf(error)}`;
}

/** A path as short as it can be from here. */
function shown(path: string): string {
  const short = relative('', path);
  return short.length < path.length ? short || basename(path) : path;
}
