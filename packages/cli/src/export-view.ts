import type { ExportReport, HalfReport, Verification } from '@mezzo/detect';
import { counted, decimalBytes } from './number-format.ts';
import type { Terminal } from './terminal.ts';

/** What an export wrote and how it was checked, for people. */
export function exportLines(report: ExportReport, terminal: Pick<Terminal, 'bold' | 'yellow'>): string[] {
  const { file, model, names, onnx, half, verification } = report;
  const lines = [
    `${terminal.bold(file)}  ${decimalBytes(report.bytes)}, ${model}, ${counted(names.length, 'class', 'classes')}`,
  ];
  if (onnx !== null) {
    const shown = (value: { name: string; shape: readonly (number | string)[] }) =>
      `${value.name} [${value.shape.join(', ')}]`;
    lines.push(`ONNX opset ${onnx.opset}: ${shown(onnx.input)} → ${shown(onnx.output)}, fp32`);
  }
  if (half !== null) lines.push(...halfLines(half));
  if (verification !== null) lines.push(...verificationLines(verification, terminal));
  return lines;
}

function halfLines({ tensors, values, flushed, faint, largest }: HalfReport): string[] {
  const lost = flushed === 0 ? 'none becomes zero' : `${flushed} become zero`;
  const lines = [
    `fp16: all ${tensors} tensors fit; of ${values} numbers ${lost}; ` +
      `the largest is ${largest.magnitude.toPrecision(3)} (${largest.name}, limit 65504)`,
  ];
  for (const { name, largest: magnitude } of faint) {
    lines.push(
      `fp16: ${name} is at most ${magnitude.toPrecision(3)}, below what fp16 holds with all its bits`,
    );
  }
  return lines;
}

function verificationLines(verification: Verification, terminal: Pick<Terminal, 'yellow'>): string[] {
  if (!verification.verified) {
    return [`${terminal.yellow('not verified')}: ${verification.reason}; to verify: ${verification.hint}`];
  }
  const { runtime, images, boxError, scoreError, tolerance, detections, reference } = verification;
  const kept =
    detections === null ? '' : `, and after suppression the same ${counted(detections, 'box', 'boxes')}`;
  const against = reference === 'fp64' ? ' of the model in fp64' : '';
  return [
    `verified with ${runtime} on ${counted(images, 'image')}: boxes within ${boxError.toExponential(1)} px ` +
      `(allowed ${tolerance.box}), scores within ${scoreError.toExponential(1)} (allowed ${tolerance.score})${against}${kept}`,
  ];
}
