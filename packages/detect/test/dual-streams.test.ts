import { testFusions } from './dual-runs.ts';

testFusions(['early', 'data', 'mid']);
