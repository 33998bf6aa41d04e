import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { listSources } from '../src/predict/sources.ts';

const root = mkdtempSync(path.join(tmpdir(), 'mezzo-sources-'));
after(() => rmSync(root, { recursive: true }));
const at = (...parts: string[]) => path.join(root, ...parts);

mkdirSync(at('images', 'deep', 'er'), { recursive: true });
mkdirSync(at('empty'));
const files = ['b.jpg', 'a.PNG', 'notes.md', 'clip.mp4', 'c[1].jpg', 'deep/d.jpg', 'deep/er/e.webp'];
for (const file of files) writeFileSync(at('images', file), '');
writeFileSync(at('list.txt'), 'images/b.jpg\n\n  ./images/deep/d.jpg\r\n');
writeFileSync(at('bad.txt'), 'images/b.jpg\nimages/gone.jpg\n');
writeFileSync(at('blank.txt'), '\n\n');
writeFileSync(at('itself.txt'), 'itself.txt\n');

const relative = async (source: string | string[]) =>
  (await listSources(source)).map((file) => path.relative(root, file));

async function assertRefused(source: string, code: string, message: string, hint: string): Promise<void> {
  await assert.rejects(listSources(source), (error: Error & { code: string; hint: string }) => {
    assert.deepEqual([error.code, error.message, error.hint], [code, message, hint]);
    return true;
  });
}

describe('listSources', () => {
  it('takes one image', async () => {
    assert.deepEqual(await relative(at('images', 'b.jpg')), ['images/b.jpg']);
  });

  it('takes the images of a folder, sorted, without its subfolders', async () => {
    assert.deepEqual(await relative(at('images')), ['images/a.PNG', 'images/b.jpg', 'images/c[1].jpg']);
  });

  it('takes a pattern', async () => {
    assert.deepEqual(await relative(at('images', '*.jpg')), ['images/b.jpg', 'images/c[1].jpg']);
    assert.deepEqual(await relative(at('images', '?.{jpg,PNG}')), ['images/a.PNG', 'images/b.jpg']);
    assert.deepEqual(await relative(at('images', '[!b]*.jpg')), ['images/c[1].jpg']);
    assert.deepEqual(await relative(at('*', 'b.jpg')), ['images/b.jpg']);
  });

  it('takes a pattern over all folders', async () => {
    assert.deepEqual(await relative(at('**', '*.jpg')), [
      'images/b.jpg',
      'images/c[1].jpg',
      'images/deep/d.jpg',
    ]);
    assert.deepEqual(await relative(at('images', '**', 'e.webp')), ['images/deep/er/e.webp']);
  });

  it('takes an existing name with wildcard characters as it is', async () => {
    assert.deepEqual(await relative(at('images', 'c[1].jpg')), ['images/c[1].jpg']);
  });

  it('takes a list, relative to the list', async () => {
    assert.deepEqual(await relative(at('list.txt')), ['images/b.jpg', 'images/deep/d.jpg']);
  });

  it('takes several sources in their order', async () => {
    assert.deepEqual(await relative([at('images', 'deep'), at('images', 'b.jpg')]), [
      'images/deep/d.jpg',
      'images/b.jpg',
    ]);
  });

  it('refuses what is not there', async () => {
    await assertRefused(
      at('gone'),
      'SOURCE_MISSING',
      `source ${at('gone')}: no such file or folder`,
      'give an image, a folder, a pattern such as images/*.jpg, or a .txt list of images',
    );
    await assertRefused(
      at('images', '*.tif'),
      'SOURCE_MISSING',
      `source ${at('images', '*.tif')}: no image matches this pattern`,
      '* stands for any part of a name, ** for any folders',
    );
    await assertRefused(
      at('bad.txt'),
      'SOURCE_MISSING',
      `${at('bad.txt')}, line 2: no such file: images/gone.jpg`,
      `paths are relative to the folder of the list, ${root}`,
    );
  });

  it('refuses a folder or list without images', async () => {
    const known = '.avif .bmp .dng .heic .heif .jp2 .jpeg .jpeg2000 .jpg .mpo .png .tif .tiff .webp';
    await assertRefused(
      at('empty'),
      'SOURCE_EMPTY',
      `source ${at('empty')}: no images in this folder`,
      `known suffixes: ${known}; subfolders are not searched: use ${at('empty', '**', '*.jpg')}`,
    );
    await assertRefused(
      at('blank.txt'),
      'SOURCE_EMPTY',
      `${at('blank.txt')}: the list names no images`,
      'write one path a line',
    );
    const notImage = `known suffixes: ${known}; and .txt for a list of images`;
    const notes = at('images', 'notes.md');
    await assertRefused(notes, 'SOURCE_UNSUPPORTED', `source ${notes}: not an image by its name`, notImage);
    const itself = at('itself.txt');
    await assertRefused(itself, 'SOURCE_UNSUPPORTED', `source ${itself}: not an image by its name`, notImage);
  });

  it('refuses videos, streams, cameras and addresses with the line that makes pictures', async () => {
    const line = (input: string) => `mkdir -p frames && ffmpeg ${input} -vf fps=5 frames/%06d.jpg`;
    const clip = at('images', 'clip.mp4');
    const frames = line(`-i ${clip}`);
    await assertRefused(
      clip,
      'SOURCE_UNSUPPORTED',
      `source ${clip}: videos are not read; make pictures first: ${frames}`,
      frames,
    );
    for (const [source, input] of [
      ['rtsp://cam.local/1?x=y', "-i 'rtsp://cam.local/1?x=y'"],
      ['0', '-f v4l2 -i /dev/video0'],
      ['screen', '-f x11grab -i :0'],
    ] as const) {
      await assertRefused(
        source,
        'SOURCE_UNSUPPORTED',
        `source ${source}: cameras, screens and streams are not read; make pictures first: ${line(input)}`,
        line(input),
      );
    }
    const address = 'https://example.org/bus.jpg';
    await assertRefused(
      address,
      'SOURCE_UNSUPPORTED',
      `source ${address}: addresses are not read; download the file first ` +
        `(for a video, make pictures of it: ${line(`-i ${address}`)})`,
      `curl -LO ${address}`,
    );
  });
});
