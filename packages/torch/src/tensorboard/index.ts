export { crc32c } from './crc32c.ts';
export { eventFileName, fileVersion, imageRecord, scalarsRecord, wholeRecords } from './records.ts';
