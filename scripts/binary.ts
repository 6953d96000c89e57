/**
 * Makes binary/virtap-linux-ARCH: Node.js' single-executable application, with all code, the threads' and the page in it.
 *
 *     node scripts/binary.ts [--arch x64|arm64]
 *
 * Code is compiled beforehand, where the executable is for this machine's architecture.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { threads } from '../src/own/thread.ts';
import { v8Flags } from '../src/own/v8-flags.ts';
import { licenses, oneFile } from './bundle.ts';

/** What Node.js looks for in itself, to know whether something was added. */
const fuse = 'fce680ab2cc467b6e072b8b5df1996b2';

const root = join(import.meta.dirname, '..');
const sample = (name: string) => join(root, 'samples', name);
/** The runs whose code is compiled beforehand, by command: each uses a part of it of its own, and to load all would take long. */
const usual: Record<string, string[]> = {
  none: ['--version'],
  events: ['events', sample('host-kvm.dat')],
  exits: ['exits', sample('host-kvm.dat')],
  vcpus: ['vcpus', sample('host-kvm.dat')],
  leaks: ['leaks', sample('qemu-leak.bin.zst')],
  requests: ['requests', sample('qemu-leak.bin.zst')],
  locks: ['locks', sample('kvm-and-qemu.log.zst')],
};
const { arch } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } }).values;
const target = join(root, 'binary', `virtap-linux-${arch}`);
mkdirSync(join(root, 'binary'), { recursive: true });
// In the clone, so that source maps name its files from there.
const folder = mkdtempSync(join(root, 'binary', 'build-'));
const inFolder = (name: string) => join(folder, name);

function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', cwd: folder, maxBuffer: 1 << 28 });
  // 3: there are leaks in a sample.
  if (status !== 0 && status !== 3) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

/** The Node.js that goes into it: the one that runs this, or the same version for another architecture. */
function nodeFor(): string {
  if (arch === process.arch) return process.execPath;
  run('npm', 'pack', '--silent', `node-linux-${arch}@${process.versions.node}`);
  run('tar', '-xzf', `node-linux-${arch}-${process.versions.node}.tgz`);
  return inFolder('package/bin/node');
}

try {
  const code = inFolder('executable.js');
  const bundled = await oneFile('src/cli/executable.ts', code, { compress: false, mangle: false });
  writeFileSync(inFolder('LICENSES.txt'), licenses(bundled));
  const assets: Record<string, string> = {
    'package.json': join(root, 'package.json'),
    'LICENSES.txt': inFolder('LICENSES.txt'),
    'dist/executable.js': code,
    'dist/executable.js.map': `${code}.map`,
    'dist/web/page.js': join(root, 'dist/web/page.js'),
    'dist/web/page.css': join(root, 'dist/web/page.css'),
  };
  for (const [name, file] of Object.entries(threads)) {
    const built = `dist/threads/${name}.js`;
    await oneFile(join('src', file), inFolder(`${name}.js`));
    assets[built] = inFolder(`${name}.js`);
  }
  const loader = inFolder('loader.cjs');
  const text = readFileSync(join(root, 'src/own/executable.cjs'), 'utf8');
  writeFileSync(loader, `const v8Flags = ${JSON.stringify(v8Flags)};\n${text}`);
  if (arch === process.arch) {
    for (const [name, args] of Object.entries(usual)) {
      assets[`compiled/${name}`] = inFolder(`compiled-${name}`);
      run(process.execPath, loader, code, inFolder(`compiled-${name}`), root, ...args);
    }
  }
  const config = { main: loader, output: inFolder('blob'), disableExperimentalSEAWarning: true, assets };
  writeFileSync(inFolder('sea.json'), JSON.stringify(config));
  run(process.execPath, '--experimental-sea-config', inFolder('sea.json'));

  const made = inFolder('virtap');
  copyFileSync(nodeFor(), made);
  chmodSync(made, 0o755);
  // Names of Node.js' own functions: 18 MB that nobody asks for. Another machine's are left where strip does not know them.
  if (spawnSync('strip', [made]).status !== 0) console.error('virtap: not stripped: larger than it need be');
  run('postject', made, 'NODE_SEA_BLOB', inFolder('blob'), '--sentinel-fuse', `NODE_SEA_FUSE_${fuse}`);
  copyFileSync(made, target);
  console.log(`${target}: ${(statSync(target).size / 1e6).toFixed(0)} MB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
