#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { setFlagsFromString } from 'node:v8';

// Unpacked bytes count as V8's memory, too: without this, it would look for garbage in all of its small heap at every 10 MB of them.
setFlagsFromString('--heap-growing-percent=300');
// Before anything large is loaded, so that the next start finds it compiled. Node.js would make the folder for temporary files, or try for ever.
if (existsSync(tmpdir())) enableCompileCache();
const { main } = await import('./program.ts');
await main(process.argv.slice(2));
