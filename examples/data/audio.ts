/**
 * Spoken-like sound: a buzz or a hiss through three resonators, after Klatt, "Software for a cascade/parallel
 * formant synthesizer" (1980); the vowels' formants from Peterson and Barney (1952).
 */

/** Samples a second. */
export const RATE = 8000;

/** Three formants in Hz, how much buzz and hiss goes in, how long it lasts in ms. */
interface Phone {
  formants: readonly [number, number, number];
  buzz: number;
  hiss: number;
  ms: number;
}

const PHONES: Readonly<Record<string, Phone>> = {
  a: { formants: [730, 1090, 2440], buzz: 1, hiss: 0, ms: 110 },
  e: { formants: [530, 1840, 2480], buzz: 1, hiss: 0, ms: 110 },
  i: { formants: [270, 2290, 3010], buzz: 1, hiss: 0, ms: 110 },
  o: { formants: [570, 840, 2410], buzz: 1, hiss: 0, ms: 110 },
  u: { formants: [300, 870, 2240], buzz: 1, hiss: 0, ms: 110 },
  m: { formants: [250, 1000, 2200], buzz: 0.4, hiss: 0, ms: 70 },
  n: { formants: [250, 1700, 2600], buzz: 0.4, hiss: 0, ms: 70 },
  s: { formants: [2700, 3300, 3700], buzz: 0, hiss: 1.2, ms: 90 },
  f: { formants: [1200, 2200, 3200], buzz: 0, hiss: 1, ms: 90 },
  t: { formants: [2000, 2900, 3600], buzz: 0, hiss: 2, ms: 20 }, // after a silence
  k: { formants: [900, 1500, 2400], buzz: 0, hiss: 2, ms: 25 },
  ' ': { formants: [500, 1500, 2500], buzz: 0, hiss: 0, ms: 50 },
};
const BANDWIDTHS = [80, 110, 170] as const; // Hz
const LEVELS = [1, 0.6, 0.4] as const; // of the three in the sum
const GLIDE = 0.03; // s in which one phone turns into the next
const FRAME = 40; // samples between two settings of the resonators

/** What differs from one utterance to the next: pitch in Hz, factors of the formants and of the speed, noise. */
interface Voice {
  pitch: number;
  formants: number;
  speed: number;
  noise: number;
}

const between = (draw: () => number, low: number, high: number) => low + (high - low) * draw();

/** Numbers of variance 1 that know nothing of each other. */
const whiteNoise = (draw: () => number) => () => Math.sqrt(12) * (draw() - 0.5);

const anyVoice = (draw: () => number): Voice => ({
  pitch: between(draw, 90, 240),
  formants: between(draw, 0.92, 1.08),
  speed: between(draw, 0.8, 1.25),
  noise: between(draw, 0.03, 0.2),
});

/**
 * Somebody says `text` (letters of PHONES; a space is a pause), somewhere within `seconds` of background noise.
 * Cut off at the end when it takes longer. Loudness about 1 (root mean square of the voice).
 */
export function speak(text: string, seconds: number, draw: () => number): Float32Array {
  const voice = anyVoice(draw);
  const sound = synthesize(phonesOf(text, voice, draw), voice, draw);
  const power = sound.reduce((sum, value) => sum + value * value, 0) / sound.length;
  const out = new Float32Array(Math.round(seconds * RATE));
  const onset = Math.floor(draw() * Math.max(out.length - sound.length, 0));
  const noise = whiteNoise(draw);
  for (let i = 0; i < out.length; i++) {
    out[i] = (sound[i - onset] ?? 0) / Math.sqrt(power) + voice.noise * noise();
  }
  return out;
}

/** The phones one after the other, each as long as this speaker makes it this time; `t` and `k` begin silent. */
function phonesOf(text: string, voice: Voice, draw: () => number): Phone[] {
  return [...text.replaceAll(/[tk]/g, ' $&')].map((letter) => {
    const { formants, ms, ...rest } = PHONES[letter]!;
    const [f1, f2, f3] = formants.map((f) => f * voice.formants * between(draw, 0.97, 1.03)) as [
      number,
      number,
      number,
    ];
    return { ...rest, formants: [f1, f2, f3], ms: (ms / voice.speed) * between(draw, 0.8, 1.2) };
  });
}

function synthesize(phones: readonly Phone[], voice: Voice, draw: () => number): Float32Array {
  const ends: number[] = [];
  for (const { ms } of phones) ends.push((ends.at(-1) ?? 0) + Math.round((ms * RATE) / 1000));
  const out = new Float32Array(ends.at(-1)!);
  const noise = whiteNoise(draw);
  const drift = between(draw, -0.2, 0.1); // of the pitch, over the utterance
  const memory = new Float64Array(6);
  let phase = 0;
  let phone = 0;
  for (let start = 0; start < out.length; start += FRAME) {
    while (start >= ends[phone]!) phone++;
    const now = phones[phone]!;
    const next = phones[phone + 1] ?? now;
    const share = Math.max(0, 1 - (ends[phone]! - start) / (GLIDE * RATE)) / 2;
    const mix = (a: number, b: number) => a + (b - a) * share;
    const [buzz, hiss] = [mix(now.buzz, next.buzz), mix(now.hiss, next.hiss)];
    const resonators = BANDWIDTHS.map((width, i) =>
      resonator(mix(now.formants[i]!, next.formants[i]!), width),
    );
    const pitch = voice.pitch * (1 + (drift * start) / out.length);
    for (let i = start; i < Math.min(start + FRAME, out.length); i++) {
      phase += pitch / RATE;
      const pulse = phase >= 1 ? 1 : 0;
      phase -= pulse;
      const source = 4 * buzz * pulse * Math.sqrt(RATE / pitch) + hiss * noise();
      for (let r = 0; r < 3; r++) {
        const [a, b, c] = resonators[r]!;
        const y = a * source + b * memory[2 * r]! + c * memory[2 * r + 1]!;
        memory[2 * r + 1] = memory[2 * r]!;
        memory[2 * r] = y;
        out[i]! += y * LEVELS[r]!;
      }
    }
  }
  return out;
}

/** Klatt's digital resonator y[t] = a x[t] + b y[t - 1] + c y[t - 2], with gain 1 at its frequency. */
function resonator(frequency: number, bandwidth: number): [a: number, b: number, c: number] {
  const radius = Math.exp((-Math.PI * bandwidth) / RATE);
  const angle = (2 * Math.PI * frequency) / RATE;
  const gain = (1 - radius) * Math.sqrt(1 - 2 * radius * Math.cos(2 * angle) + radius * radius);
  return [gain, 2 * radius * Math.cos(angle), -radius * radius];
}

/** What utterances are made of. */
export const SYLLABLES = ['ma', 'mi', 'no', 'nu', 'se', 'so', 'fa', 'fu', 'ti', 'ka'];
const LEAST = 3;
const MOST = 5;

/**
 * An utterance of three to five syllables, some with a pause after them, within `seconds`. `said` has their numbers,
 * from 1, with zeros behind up to five.
 */
export function utterance(seconds: number, draw: () => number): { sound: Float32Array; said: number[] } {
  const count = LEAST + Math.floor((MOST - LEAST + 1) * draw());
  const said = Array.from({ length: MOST }, (_, i) =>
    i < count ? 1 + Math.floor(draw() * SYLLABLES.length) : 0,
  );
  const text = said.slice(0, count).map((number) => SYLLABLES[number - 1]! + (draw() < 0.5 ? ' ' : ''));
  return { said, sound: speak(text.join('').trimEnd(), seconds, draw) };
}
