#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { v8Flags } from '../own/v8-flags.ts';

setFlagsFromString(v8Flags.always);
// Before anything large is loaded, so that the next start finds it compiled. Node.js would make the folder for temporary files, or try for ever.
if (existsSync(tmpdir())) enableCompileCache();
const { main } = await import('./program.ts');
await main(process.argv.slice(2));
