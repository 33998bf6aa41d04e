import { type LineStyle, px, svgPolyline, svgRect } from './svg.ts';
import { capHeight, fitText, svgText } from './text.ts';
import { niceTicks, tickLabels } from './ticks.ts';

export const INK = '#303438';
const FRAME = '#8a9096';
const GRID = '#e8eaed';

export interface AxesOptions {
  /** The plotting area in pixels. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly xRange: readonly [number, number];
  /** From the bottom to the top: the larger value first turns the axis around. */
  readonly yRange: readonly [number, number];
  readonly title?: string;
  readonly xLabel?: string;
  readonly yLabel?: string;
  /** Size of the tick labels in pixels; titles are larger. */
  readonly fontSize?: number;
  /** Ticks only at whole numbers of x, as for epochs. */
  readonly wholeX?: boolean;
  /** Ticks only at whole numbers of y, as for counts. */
  readonly wholeY?: boolean;
  /** No ticks along x. */
  readonly hideX?: boolean;
}

/** A plotting area with linear axes. */
export class Axes {
  readonly #options: AxesOptions;
  readonly #fontSize: number;

  constructor(options: AxesOptions) {
    this.#options = options;
    this.#fontSize = options.fontSize ?? 14;
  }

  /** Pixel position of a value. */
  atX(value: number): number {
    const { x, width, xRange } = this.#options;
    return x + ((value - xRange[0]) / (xRange[1] - xRange[0])) * width;
  }

  atY(value: number): number {
    const { y, height, yRange } = this.#options;
    return y + height - ((value - yRange[0]) / (yRange[1] - yRange[0])) * height;
  }

  /** Grid, frame, ticks and titles: what lies under the data. */
  frame(): string {
    const { x, y, width, height, title, xLabel, yLabel, hideX } = this.#options;
    const size = this.#fontSize;
    const parts = [
      ...(hideX ? [] : this.#xTicks()),
      ...this.#yTicks(),
      svgRect(x, y, width, height, { stroke: FRAME }),
    ];
    if (title !== undefined) {
      const fitted = fitText(title, size * 1.2, width);
      parts.push(
        svgText(fitted, x + width / 2, y - size * 0.7, {
          size: size * 1.2,
          color: INK,
          anchor: 'middle',
          bold: true,
        }),
      );
    }
    if (xLabel !== undefined) {
      parts.push(
        svgText(xLabel, x + width / 2, y + height + size * 3.1, {
          size: size * 1.1,
          color: INK,
          anchor: 'middle',
        }),
      );
    }
    if (yLabel !== undefined) {
      parts.push(
        svgText(yLabel, x - size * 3.4, y + height / 2, {
          size: size * 1.1,
          color: INK,
          anchor: 'middle',
          rotate: -90,
        }),
      );
    }
    return parts.join('');
  }

  /** A line through the values; it is broken at values that are not finite. */
  line(xs: ArrayLike<number>, ys: ArrayLike<number>, style: LineStyle): string {
    return svgPolyline(
      Array.from({ length: xs.length }, (_, i) => [this.atX(xs[i]!), this.atY(ys[i]!)] as const),
      style,
    );
  }

  /** A filled circle at every finite value. */
  dots(xs: ArrayLike<number>, ys: ArrayLike<number>, color: string, radius: number): string {
    let dots = '';
    for (let i = 0; i < xs.length; i++) {
      if (!Number.isFinite(ys[i])) continue;
      dots += `<circle cx="${px(this.atX(xs[i]!))}" cy="${px(this.atY(ys[i]!))}" r="${radius}" fill="${color}"/>`;
    }
    return dots;
  }

  #xTicks(): string[] {
    const { y, height, width, xRange, wholeX } = this.#options;
    const size = this.#fontSize;
    const all = niceTicks(xRange, Math.max(2, Math.floor(width / (size * 5))));
    const ticks = wholeX ? all.filter(Number.isInteger) : all;
    const labels = tickLabels(ticks);
    return ticks.flatMap((tick, i) => {
      const at = this.atX(tick);
      return [
        svgPolyline(
          [
            [at, y],
            [at, y + height],
          ],
          { color: GRID, width: 1 },
        ),
        svgText(labels[i]!, at, y + height + size * 1.4, { size, color: INK, anchor: 'middle' }),
      ];
    });
  }

  #yTicks(): string[] {
    const { x, width, height, yRange, wholeY } = this.#options;
    const size = this.#fontSize;
    const range = [Math.min(...yRange), Math.max(...yRange)] as const;
    const all = niceTicks(range, Math.max(2, Math.floor(height / (size * 3.5))));
    const ticks = wholeY ? all.filter(Number.isInteger) : all;
    const labels = tickLabels(ticks);
    return ticks.flatMap((tick, i) => {
      const at = this.atY(tick);
      return [
        svgPolyline(
          [
            [x, at],
            [x + width, at],
          ],
          { color: GRID, width: 1 },
        ),
        svgText(labels[i]!, x - size * 0.6, at + capHeight(size) / 2, { size, color: INK, anchor: 'end' }),
      ];
    });
  }
}
