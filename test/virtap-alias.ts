import { registerHooks } from 'node:module';

// For programs that tests run from the documentation: `virtap` is this clone, as it would be the installed package.
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'virtap'
      ? { url: new URL('../src/index.ts', import.meta.url).href, shortCircuit: true }
      : next(specifier, context),
});
