import { main } from './program.ts';

/* What the executable runs, which scripts/binary.ts makes. */
void main(process.argv.slice(2));
