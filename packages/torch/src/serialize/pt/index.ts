export { PtError, type PtErrorCode } from './errors.ts';
export { type LoadPtOptions, loadPt, type PtFile, readPt } from './load-pt.ts';
export { savePt } from './save-pt.ts';
export { isModule } from './state-dict.ts';
export { PtGlobal, PtObject, PtStorage, PtTensor, type PtValue } from './values.ts';
