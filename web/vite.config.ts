import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** One script and one style sheet, which `virtap report` puts into the page and `virtap serve` serves. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  logLevel: 'warn',
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    lib: { entry: 'src/main.ts', formats: ['iife'], name: 'virtap', fileName: () => 'page.js', cssFileName: 'page' },
  },
});
