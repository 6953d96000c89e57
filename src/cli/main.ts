#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

// Before anything large is loaded, so that the next start finds it compiled.
enableCompileCache();
const { main } = await import('./program.ts');
await main(process.argv.slice(2));
