/**
 * Builds dist/, or another folder: the commands and the library as few files that load fast.
 *
 *     node scripts/bundle.ts [FOLDER]
 *
 * They are CommonJS: Node.js loads it in less time than ES modules, an executable takes nothing else, `require` and `import` of the library
 * give the same, and a Node.js that is too old gets as far as a sentence that says so.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { type OutputOptions, type Plugin, type PluginContext, rolldown } from 'rolldown';
import { threads } from '../src/own/thread.ts';
import { v8Flags } from '../src/own/v8-flags.ts';

const root = join(import.meta.dirname, '..');
const src = join(root, 'src');
const dist = resolve(process.argv[2] ?? join(root, 'dist'));
const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The licenses of the packages that these modules are of. */
export function licenses(modules: readonly string[]): string {
  const packages = modules
    .map((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0])
    .filter((path) => path !== undefined);
  return [...new Set(packages)]
    .map((path) => {
      const file = readdirSync(path).find((name) => /^licen[cs]e/i.test(name));
      return `${path.replace(/^.*\/node_modules\//, '')}\n\n${file === undefined ? JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')).license : readFileSync(join(path, file), 'utf8')}`;
    })
    .join('\n\n');
}

/** Code that every Node.js understands: it does this where Node.js is older than package.json asks for. */
function unlessOld(refuse: (sentence: string) => string): string {
  const [major, minor] = about.engines.node.replace(/^\D+/, '').split('.');
  const sentence = `'virtap needs Node.js ${major}.${minor} or newer, and this is ' + process.versions.node + '. The executable of virtap needs none.'`;
  return (
    `var nodeIs = process.versions.node.split('.');\n` +
    `if (nodeIs[0] < ${major} || (nodeIs[0] == ${major} && nodeIs[1] < ${minor})) ${refuse(sentence)}\n`
  );
}

/** Modules that these import, without being asked to later, and so on. */
function closure(context: Pick<PluginContext, 'getModuleInfo'>, ...files: string[]): Set<string> {
  const found = new Set<string>();
  const todo = files.map((file) => join(src, file));
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    todo.push(...(context.getModuleInfo(id)?.importedIds ?? []));
  }
  return found;
}

const common = { platform: 'node', cwd: root, tsconfig: false, logLevel: 'warn', checks: { eval: false } } as const;
const output = {
  format: 'cjs',
  sourcemap: true,
  sourcemapExcludeSources: true,
  comments: false,
} satisfies OutputOptions;

/** Those that a reader is asked for first, and what they need. */
const usualFormats = ['formats/trace-dat.ts', 'formats/perf-data.ts', 'formats/simpletrace.ts'];

/**
 * Modules of Node.js become modules of the bundle, which run, as all others, when somebody who needs them does: as they are, all that a file imports would be loaded
 * with the file, node:crypto and node:http in 4 ms each.
 */
const builtins: Plugin = {
  name: 'builtins',
  resolveId: (id) => (id.startsWith('node:') ? `\0${id}` : null),
  load: (id) => {
    if (!id.startsWith('\0node:')) return null;
    const name = JSON.stringify(id.slice(1));
    const names = Object.keys(process.getBuiltinModule(id.slice(1)) ?? {}).filter(
      (key) => /^[a-zA-Z]\w*$/.test(key) && key !== 'default',
    );
    const exported = names.map((key) => `export const ${key} = /* @__PURE__ */ pick('${key}');`);
    return `const all = process.getBuiltinModule(${name});\nconst pick = (key) => all[key];\n${exported.join('\n')}\nexport default all;`;
  },
};

/** Makes a bundle of ASCII alone, which Node.js reads, and V8 keeps, in half of the time and of the memory. */
function toAscii(file: string): void {
  const escaped = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  writeFileSync(file, readFileSync(file, 'utf8').replace(/[^\x00-\x7f]/g, escaped));
}

/** Commander starts other programs as commands, which virtap has none of. */
const noPrograms: Plugin = {
  name: 'no-programs',
  resolveId: (id, importer) =>
    id === 'node:child_process' && importer?.includes('/commander/') === true ? '\0no-programs' : null,
  load: (id) => (id === '\0no-programs' ? 'export default {};' : null),
};

/** Makes one file of all that a file of src/ needs; gives the modules that are in it. */
export async function oneFile(input: string, file: string, minify: OutputOptions['minify'] = false): Promise<string[]> {
  const bundle = await rolldown({ ...common, plugins: [noPrograms, builtins], input });
  const made = await bundle.write({ ...output, file, codeSplitting: false, strictExecutionOrder: true, minify });
  await bundle.close();
  toAscii(file);
  return made.output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []));
}

/** All of it, into a folder. */
export async function build(folder: string): Promise<void> {
  const all = await rolldown({
    ...common,
    plugins: [noPrograms, builtins],
    input: { main: 'src/cli/program.ts', index: 'src/index.ts', script: 'src/script/index.ts' },
  });
  const groups = new Map<string, Set<string>>();
  /** A group's name for the modules that these files import. */
  const group = (name: string, ...files: string[]) => ({
    debugName: name,
    name: (id: string, context: Pick<PluginContext, 'getModuleInfo'>) => {
      if (!groups.has(name)) groups.set(name, closure(context, ...files));
      return groups.get(name)?.has(id) ? name : null;
    },
  });
  const { output: chunks } = await all.write({
    ...output,
    dir: folder,
    chunkFileNames: '[name].js',
    // Modules run when they are first needed, whatever file they are in.
    strictExecutionOrder: true,
    banner: (chunk) =>
      chunk.name === 'index' || chunk.name === 'script' ? unlessOld((sentence) => `throw new Error(${sentence});`) : '',
    codeSplitting: {
      groups: [
        { ...group('start', 'cli/program.ts'), priority: 6 },
        // What every command that reads a trace needs.
        { ...group('common', 'cli/exits.ts'), priority: 5 },
        ...usualFormats.map((file, i) => ({ ...group(basename(file, '.ts'), file), priority: 4 - i })),
        { name: 'shared', minShareCount: 3, priority: 1, test: /[\\/]src[\\/]/ },
      ],
    },
  });
  await all.close();
  for (const { fileName, type } of chunks) if (type === 'chunk') toAscii(join(folder, fileName));
  writeFileSync(
    join(folder, 'LICENSES.txt'),
    licenses(chunks.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []))),
  );
  for (const [name, file] of Object.entries(threads))
    await oneFile(join('src', file), join(folder, 'threads', `${name}.js`));
  const hash = createHash('sha256');
  for (const chunk of chunks) if (chunk.type === 'chunk') hash.update(chunk.code);
  const known = `var v8Flags = ${JSON.stringify(v8Flags)};\nvar build = '${hash.digest('hex').slice(0, 16)}';\n`;
  const launcher = readFileSync(join(src, 'own/launcher.cjs'), 'utf8');
  const refusal = unlessOld((sentence) => `{\n  console.error('virtap: ' + ${sentence});\n  process.exit(2);\n}`);
  writeFileSync(join(folder, 'virtap.js'), `#!/usr/bin/env node\n'use strict';\n${refusal}${known}${launcher}`, {
    mode: 0o755,
  });
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
}

if (import.meta.main) {
  // Beside dist/, so that the ways from there to the sources are the same; then file by file, for who runs the old ones at this moment.
  const fresh = `${dist}-${process.pid}`;
  try {
    await build(fresh);
    mkdirSync(join(dist, 'threads'), { recursive: true });
    const files = readdirSync(fresh, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const names = files.map((entry) => relative(fresh, join(entry.parentPath, entry.name)));
    // Who starts virtap compares this one's age with the sources'.
    names.sort((a, b) => Number(a === 'virtap.js') - Number(b === 'virtap.js'));
    for (const name of names) renameSync(join(fresh, name), join(dist, name));
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
