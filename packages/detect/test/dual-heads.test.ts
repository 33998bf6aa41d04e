import { testFusions } from './dual-runs.ts';

testFusions(['decision', 'gated', 'cross-attention']);
