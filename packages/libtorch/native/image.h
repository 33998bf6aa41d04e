// Pixel work for the training loader: warp (mosaic, affine, flip, colour) and letterbox.
//
// Everything here runs on libuv threads beside a training step, so it is plain loops: no ATen call, which could
// start its own OpenMP team there. Images are 8-bit, interleaved, red first, without row padding; an integer
// coordinate is a pixel's centre. A source of more than three channels is a stack of pictures of three, one after
// another, the last one filled up; outputs are interleaved whatever their channels.
#pragma once

#include "napi.h"

#include <cstdint>
#include <vector>

#if defined(__x86_64__)
// Two builds of a loop in one addon; the processor chooses when it is loaded. Without FMA, so both round alike.
#define MEZZO_VECTOR_CLONES __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define MEZZO_VECTOR_CLONES
#endif

namespace mezzo::image {

/// A rectangle of a source image and the map that says which output pixels show it.
struct Tile {
  const uint8_t* pixels;
  int32_t width, height;
  double matrix[9];                 // output pixel -> source pixel, row-major 3x3
  double left, top, right, bottom;  // the part of the source that is shown, half-open
};

/// HSV jitter on OpenCV's 8-bit scale (H 0..179, S and V 0..255).
struct Colour {
  bool enabled;
  int32_t hue;  // added to H, 0..179
  int32_t saturation[256], value[256];  // what each level becomes
};

/// What an infrared camera does to its picture: levels by a table, and noise that all channels of a pixel share.
struct Thermal {
  bool enabled;
  int32_t levels[256];
  int32_t noise;  // standard deviation in 1/256 levels
  uint32_t seed;
};

/// Output pixels, half-open; empty where nothing is cut out.
struct Cut {
  int32_t left, top, right, bottom;
  bool empty() const { return left >= right || top >= bottom; }
};

/// One output picture: first layer, optionally blended with a second one; a third one inside `cut`; then colour. Where
/// the picture joins a visible image (its first three channels) and an infrared one, each gets its own photometry.
struct WarpJob {
  uint8_t* out;
  int32_t width, height;
  int32_t channels;  // 1 for luma; any other number as stored
  uint8_t border;
  bool bgr;
  Colour colour;    // of the first three channels
  Thermal thermal;  // of the channels after them
  int32_t dropped;  // 1: the first three channels stay 0, 2: those after them; 0: neither
  float blend;  // weight of the first layer; 1 without a second one
  Cut cut;
  std::vector<Tile> layers[3];
};

/// A picture scaled to `newWidth` x `newHeight`, placed at (left, top) of a canvas of border colour.
struct LetterboxJob {
  const uint8_t* pixels;
  int32_t sourceWidth, sourceHeight;
  uint8_t* out;
  int32_t width, height, channels;
  int32_t newWidth, newHeight, left, top;
  uint8_t border;
};

void warp(const WarpJob& job);
void letterbox(const LetterboxJob& job);

/// HSV jitter of `count` pixels, each 0x00BBGGRR, in place.
void jitterColour(uint32_t* row, int32_t count, const Colour& colour);

/// Levels and noise of row `y`, in place.
void thermalRow(uint32_t* row, int32_t count, int32_t y, const Thermal& thermal);

/// Channels that one source pixel holds.
constexpr int32_t kGroup = 3;

/// `count` pixels 0x00BBGGRR to interleaved bytes: luma when `channels` is 1, RGB or BGR when it is 3, otherwise the
/// channels from `first` on of pixels of so many, of which `bgr` turns the first three.
void storeRow(const uint32_t* row, int32_t count, int32_t channels, int32_t first, bool bgr, uint8_t* out);

}  // namespace mezzo::image
