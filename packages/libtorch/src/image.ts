/**
 * The addon's pixel work. Both functions run on a libuv thread and call nothing of LibTorch. Images are 8-bit,
 * interleaved, red first; the buffers belong to the job until its promise settles.
 */
export interface NativeImage {
  /**
   * Fills `out` (height x width x channels bytes) by gathering each pixel from the sources. `job` holds
   * width, height, channels, border level, bgr (0 or 1), colour (0 or 1), hue (0 … 179), saturation
   * and value gains, weight of the first layer, left, top, right and bottom of the part of the output that shows
   * layer 2, whether channels beyond three are an infrared picture's (0 or 1), its gain, offset, noise (1/256 levels) and seed, what is
   * missing (0; 1 the first three channels; 2 those after them); then for every tile: layer (0; 1 is blended with it; 2 is pasted), source index, source width and height, the 3x3 matrix from output to source pixels, and left, top, right, bottom of the shown part.
   * @throws an error with code BAD_ARGUMENT for a job that does not fit its buffers
   */
  imageWarp(out: Uint8Array, job: Float64Array, sources: Uint8Array[]): Promise<void>;
  /**
   * Fills `out` with the source scaled bilinearly (as OpenCV's INTER_LINEAR) at a place, the rest with the border
   * level. `job` holds width, height, channels (1 or 3), border, source width and height, new width and height,
   * left, top.
   * @throws an error with code BAD_ARGUMENT for a job that does not fit its buffers
   */
  imageLetterbox(out: Uint8Array, job: Float64Array, source: Uint8Array): Promise<void>;
}
