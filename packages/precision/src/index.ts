export * from './autopsy/index.ts';
export * from './explain/index.ts';
export * from './islands/index.ts';
export * from './observe/index.ts';
export * from './preflight/index.ts';
export * from './recorder/index.ts';
export * from './scalers/index.ts';
