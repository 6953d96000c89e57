import { code, form } from '../own/files.ts';

/** The modules that scripts import by name, as files in src/ and in dist/: they are this virtap, wherever a script lies. */
const files = {
  virtap: { sources: 'index.ts', bundles: 'index.js' },
  'virtap/script': { sources: 'script/index.ts', bundles: 'script.js' },
} as const;

/** Where an executable, which has no files, has what these modules export. */
const exported = Symbol.for('virtap.exported');
const globals = globalThis as {
  [exported]?: Record<string, Record<string, unknown>>;
  [importing]?: (url: string) => Promise<object>;
};
/** `import()` as the executable's first file has it: what that runs has none. */
const importing = Symbol.for('virtap.import');
const prefix = 'virtap-executable:';

/** To be called before scripts are loaded. */
export async function prepareFaces(): Promise<void> {
  if (form !== 'executable') return;
  globals[exported] ??= { virtap: await import('../index.ts'), 'virtap/script': await import('./index.ts') };
}

/** URL of the module that a script imports by this name; undefined where it is none of ours. */
export function faceOf(specifier: string): string | undefined {
  if (!Object.hasOwn(files, specifier)) return undefined;
  return form === 'executable' ? prefix + specifier : new URL(files[specifier as keyof typeof files][form], code).href;
}

/** The source of the module of such a URL, where that is no file: it hands on what the executable has. */
export function faceSource(url: string): string | undefined {
  if (!url.startsWith(prefix)) return undefined;
  const name = url.slice(prefix.length);
  const names = Object.keys(globals[exported]?.[name] ?? {});
  const from = `globalThis[Symbol.for('virtap.exported')][${JSON.stringify(name)}]`;
  return `export const { ${names.join(', ')} } = ${from};`;
}

/** Imports a user's file. */
export async function importFile(url: string): Promise<object> {
  return await (globals[importing]?.(url) ?? import(url));
}
