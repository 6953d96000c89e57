import { fileURLToPath } from 'node:url';

/** Path of one of virtap's own modules, given without its extension, as this process runs them: TypeScript, or built. */
export function ownModule(name: string, importer: string): string {
  return fileURLToPath(new URL(name + (importer.endsWith('.ts') ? '.ts' : '.js'), importer));
}
