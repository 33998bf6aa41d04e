import { pick } from './random.ts';

/** Letters of the stories, in the order of their numbers. */
export const ALPHABET = ' .abcdefghijklmnopqrstuvwxyz';

const ADJECTIVES = ['big', 'old', 'red', 'wild'];
const NOUNS = ['cat', 'dog', 'girl', 'king', 'bird', 'horse'];
const PLACES = ['tree', 'hill', 'river', 'house'];
const VERBS = ['sing', 'sleep', 'wait', 'jump'];

/**
 * `length` letters of stories like "the old cats near the river sing. they wait. ". Whether the verbs get an s and
 * which pronoun it is depends on the first noun alone; the second one, which stands nearer, says nothing. `agreement`
 * is true where a letter depends on that noun.
 */
export function stories(length: number, draw: () => number) {
  const letters: number[] = [];
  const agreement: boolean[] = [];
  const write = (text: string, decided: 'agrees' | 'free' = 'free') => {
    for (const letter of text) letters.push(ALPHABET.indexOf(letter));
    agreement.push(decided === 'agrees', ...Array<boolean>(text.length - 1).fill(false));
  };
  while (letters.length < length) {
    const many = draw() < 0.5;
    write(`the ${pick(draw, ADJECTIVES)} ${pick(draw, NOUNS)}${many ? 's' : ''} `);
    write(`near the ${pick(draw, PLACES)}${draw() < 0.5 ? 's' : ''} ${pick(draw, VERBS)}`);
    write(many ? '. ' : 's. ', 'agrees');
    write(many ? 'they ' : 'it ', 'agrees');
    write(pick(draw, VERBS));
    write(many ? '. ' : 's. ', 'agrees');
  }
  return { letters: letters.slice(0, length), agreement: agreement.slice(0, length) };
}

/** Words of each of the two languages. */
export const WORDS = 24;
/** Words of a sentence. */
export const LENGTH = 8;

/**
 * A sentence of random words, 0 … WORDS - 1, and after it its translation, WORDS … 2 WORDS - 1, last word first.
 * A word says nothing about its neighbours: only the translation tells a word that is hidden.
 */
export function translated(draw: () => number): number[] {
  const sentence = Array.from({ length: LENGTH }, () => Math.floor(draw() * WORDS));
  return [...sentence, ...sentence.map((word) => word + WORDS).reverse()];
}
