import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { code, form, ownText } from './files.ts';

/**
 * An error's stack as it would be if the sources ran: with their files (src/…) and lines in place of the bundles'. Not Node's own source maps
 * (--enable-source-maps): these are read whenever a file is loaded, and few runs end with a stack.
 */
export function sourceStack(stack: string): string {
  if (form === 'sources') return stack;
  const maps = new Map<string, SourceMap | undefined>();
  return stack.replace(/([^\s()]+):(\d+):(\d+)(?=\)?$)/gm, (place, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, mapOf(file));
    const found = maps.get(file)?.findOrigin(Number(line), Number(column));
    return found === undefined || !('fileName' in found)
      ? place
      : `${found.fileName.replace(/^(\.\.\/)+/, '')}:${found.lineNumber}:${found.columnNumber}`;
  });
}

function mapOf(file: string): SourceMap | undefined {
  try {
    if (form === 'executable') return file === process.execPath ? parse(ownText('dist/executable.js.map')) : undefined;
    const path = file.startsWith('file:') ? fileURLToPath(file) : file;
    if (relative(fileURLToPath(code), path).startsWith('..')) return undefined;
    return parse(readFileSync(`${path}.map`, 'utf8'));
  } catch {
    return undefined;
  }
}

function parse(text: string): SourceMap {
  return new SourceMap(JSON.parse(text));
}
