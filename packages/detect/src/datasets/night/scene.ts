/** What is in a scene: lamps, objects with their labels, and things without one, each where it can be seen as drawn. */
import type { CounterRandom } from '../../augment/random.ts';
import type { Box, Colour, Point } from './canvas.ts';
import { CLUTTER, SHELTER_METRES, shelter } from './clutter.ts';
import { brightness, type Halo, lightAt, type Pool } from './light.ts';
import { hidden, insideShare, overlap } from './overlap.ts';
import { Drawing, type Thing } from './parts.ts';
import { person } from './person.ts';
import { NIGHT_CLASSES, type NightClass, type NightPreset, type SeenBy } from './presets.ts';
import { type Camera, houses, metreAt } from './street.ts';
import { vehicle } from './vehicle.ts';

export interface NightObject {
  cls: NightClass;
  seenBy: SeenBy;
  /** In the visible picture; it may reach beyond the edge. */
  box: Box;
}

export interface Scene {
  camera: Camera;
  moonlight: number;
  pools: Pool[];
  halos: Halo[];
  /** From far to near. */
  things: Thing[];
  objects: NightObject[];
}

/** How far below the horizon things stand, as a part of the side. */
const NEAR = { person: [0.16, 0.6], vehicle: [0.13, 0.34], any: [0.12, 0.55], lamp: [0.16, 0.42] } as const;
const LOWEST = 0.97;
const LAMP_METRES = 5;
const LAMP_GAP = 0.2;
const LAMP_COLOURS: readonly Colour[] = [
  [1.15, 0.85, 0.5],
  [1, 1, 0.95],
  [0.85, 1, 1.1],
];
/** Light in which the visible picture shows an object, and in which it does not. */
const LIT = 0.3;
const DARK = 0.03;
/** How much of the smaller of two boxes may lie in the other; how much of an object things in front may hide. */
const OVERLAP = 0.3;
const HIDDEN = 0.4;
/** How much of an object must lie in the picture. */
const INSIDE = 0.75;
const TRIES = 30;
const SECOND_IN_SHELTER = 0.15;
const CLUTTER_UNDER_LAMPS = 0.6;

export function composeScene(preset: NightPreset, random: CounterRandom): Scene {
  return new Composer(preset, random).compose();
}

class Composer {
  private readonly preset: NightPreset;
  private readonly random: CounterRandom;
  private readonly camera: Camera;
  private readonly moonlight: number;
  private readonly lamps: Pool[] = [];
  private readonly pools: Pool[] = [];
  private readonly halos: Halo[] = [];
  private readonly things: Thing[] = [];
  private readonly inFront: Thing[] = [];
  private readonly shelters: Box[] = [];
  private readonly objects: NightObject[] = [];

  constructor(preset: NightPreset, random: CounterRandom) {
    this.preset = preset;
    this.random = random;
    this.camera = { horizon: random.between(0.26, 0.4) };
    this.moonlight = random.between(...preset.moonlight);
  }

  compose(): Scene {
    const { preset, camera, random } = this;
    const backdrop = houses(camera, random);
    this.repeat(preset.streetLamps, () => this.addLamp());
    // What is dark comes last: nothing may light it afterwards.
    const wishes = this.wishes();
    for (const seenBy of ['visible', 'both', 'infrared'] as const) {
      for (const wish of wishes.filter((w) => w.seenBy === seenBy)) this.addObject(wish.cls, seenBy);
    }
    this.repeat(preset.emptyShelters, () => this.addShelter(0));
    this.repeat(preset.warmClutter, () => this.addClutter(CLUTTER.warm));
    this.repeat(preset.coldClutter, () => this.addClutter(CLUTTER.cold));
    this.repeat(preset.occluders, () => this.addOccluder());
    this.things.sort((a, b) => a.foot[1] - b.foot[1]);
    return {
      camera,
      moonlight: this.moonlight,
      pools: this.pools,
      halos: this.halos,
      things: [...backdrop, ...this.things, ...this.inFront],
      objects: this.objects,
    };
  }

  private repeat([low, high]: readonly [number, number], add: () => void): void {
    const count = low + this.random.integer(high - low + 1);
    for (let i = 0; i < count; i++) add();
  }

  private wishes(): { cls: NightClass; seenBy: SeenBy }[] {
    const { preset, random } = this;
    const wishes: { cls: NightClass; seenBy: SeenBy }[] = [];
    this.repeat(preset.objects, () => {
      const draw = random.uniform();
      const { both, infrared } = preset.seenBy;
      const seenBy = draw < both ? 'both' : draw < both + infrared ? 'infrared' : 'visible';
      wishes.push({ cls: NIGHT_CLASSES[random.chance(preset.people) ? 0 : 1], seenBy });
    });
    return wishes;
  }

  private addLamp(): void {
    const { random, camera } = this;
    const place = () => this.anywhere(NEAR.lamp);
    const free = (foot: Point) => this.lamps.every(({ centre }) => Math.abs(centre[0] - foot[0]) > LAMP_GAP);
    const foot = this.find(place, free);
    if (foot === null) return;
    const metre = metreAt(camera, foot[1]);
    const reach = random.between(2.8, 4.2) * metre;
    const [r, g, b] = LAMP_COLOURS[random.integer(LAMP_COLOURS.length)]!;
    const power = random.between(0.7, 1.1);
    const colour: Colour = [r * power, g * power, b * power];
    const pool = { centre: foot, radii: [reach, 0.4 * reach] as const, colour };
    this.lamps.push(pool);
    this.pools.push(pool);
    this.things.push(
      new Drawing(foot, metre)
        .rectangle([-0.06, 0], [0.06, LAMP_METRES], { albedo: [0.2, 0.2, 0.2], heat: -0.03 })
        .rectangle([-0.4, LAMP_METRES], [0.4, LAMP_METRES + 0.16], {
          albedo: [0.3, 0.3, 0.3],
          glow: [2, 2, 2],
          heat: 0.3,
        })
        .done(),
    );
    const head: Point = [foot[0], foot[1] - LAMP_METRES * metre];
    this.halos.push({ centre: head, radius: 0.6 * metre, colour: [r * 0.7, g * 0.7, b * 0.7] });
  }

  private addObject(cls: NightClass, seenBy: SeenBy): void {
    const { random, preset } = this;
    if (cls === 'person' && seenBy === 'visible') {
      this.addShelter(random.chance(SECOND_IN_SHELTER) ? 2 : 1);
      return;
    }
    const warmth = seenBy === 'visible' ? 0 : random.between(...preset.warmth);
    const lampsOn = cls === 'vehicle' && seenBy === 'both' && random.chance(preset.headLamps);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const foot = seenBy === 'infrared' || lampsOn ? this.anywhere(NEAR[cls]) : this.underLamp(NEAR[cls]);
      if (foot === null) continue;
      const metre = metreAt(this.camera, foot[1]);
      const thing =
        cls === 'person'
          ? { ...person(foot, metre, warmth, random), halos: [], pools: [] }
          : vehicle(foot, metre, { warmth, lampsOn }, random);
      if (!this.fits(thing.box)) continue;
      if (seenBy === 'infrared' && !this.isDark(thing.box, this.pools)) continue;
      if (thing.pools.some((pool) => this.wouldLight(pool))) continue;
      this.things.push(thing);
      this.halos.push(...thing.halos);
      this.pools.push(...thing.pools);
      this.objects.push({ cls, seenBy, box: thing.box });
      return;
    }
  }

  /** A shelter with people behind its glass. */
  private addShelter(people: number): void {
    const { random, camera } = this;
    const { half, height } = SHELTER_METRES;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const foot = this.anywhere([0.2, 0.5]);
      const metre = metreAt(camera, foot[1]);
      const box: Box = [foot[0] - half * metre, foot[1] - height * metre, foot[0] + half * metre, foot[1]];
      if (insideShare(box) < 1 || !this.fits(box)) continue;
      const reach = 2.4 * metre;
      const pool: Pool = { centre: foot, radii: [reach, 0.5 * reach], colour: [0.75, 0.8, 0.85] };
      if (this.wouldLight(pool)) continue;
      this.pools.push(pool);
      this.shelters.push(box);
      const { back, pane } = shelter(foot, metre, random);
      // The foot decides what is in front: the pane is nearer than who stands behind it.
      this.things.push({ ...back, foot: [foot[0], foot[1] - 0.02 * metre] });
      for (let i = 0; i < people; i++) {
        const lane =
          people === 1 ? random.between(-0.8, 0.8) : (i === 0 ? -1 : 1) * random.between(0.45, 0.85);
        const standing = person([foot[0] + lane * metre, foot[1] - 0.01 * metre], metre, 0, random);
        this.things.push(standing);
        this.objects.push({ cls: 'person', seenBy: 'visible', box: standing.box });
      }
      this.things.push(pane);
      return;
    }
  }

  private addClutter(
    makers: readonly ((foot: Point, metre: number, random: CounterRandom) => Thing)[],
  ): void {
    const { random, camera } = this;
    const maker = makers[random.integer(makers.length)]!;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const foot = random.chance(CLUTTER_UNDER_LAMPS) ? this.underLamp(NEAR.any) : this.anywhere(NEAR.any);
      if (foot === null) continue;
      const thing = maker(foot, metreAt(camera, foot[1]), random);
      if (this.objects.some(({ box }) => overlap(box, thing.box) > OVERLAP)) continue;
      this.things.push(thing);
      return;
    }
  }

  private addOccluder(): void {
    const { random, camera } = this;
    const maker = CLUTTER.inFront[random.integer(CLUTTER.inFront.length)]!;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const foot: Point = [random.uniform(), random.between(0.85, 1.1)];
      const thing = maker(foot, metreAt(camera, foot[1]), random);
      if (
        this.objects.some(
          ({ box }) =>
            hidden(
              box,
              [...this.inFront, thing].map((front) => front.box),
            ) > HIDDEN,
        )
      )
        continue;
      this.inFront.push(thing);
      return;
    }
  }

  private anywhere([near, far]: readonly [number, number]): Point {
    const { random, camera } = this;
    const y = Math.min(LOWEST, camera.horizon + random.between(near, far));
    return [random.uniform(), y];
  }

  /** A place in the light of a street lamp, at the wanted distance; null when that lamp has none. */
  private underLamp([near, far]: readonly [number, number]): Point | null {
    const { random, camera, lamps, pools, moonlight } = this;
    const { centre, radii } = lamps[random.integer(lamps.length)]!;
    const foot: Point = [
      centre[0] + random.between(-0.6, 0.6) * radii[0],
      centre[1] + random.between(-0.6, 0.6) * radii[1],
    ];
    const depth = foot[1] - camera.horizon;
    if (depth < near || depth > far || foot[1] > LOWEST) return null;
    return brightness(lightAt(pools, moonlight, foot)) >= LIT ? foot : null;
  }

  private fits(box: Box): boolean {
    return (
      insideShare(box) >= INSIDE &&
      this.objects.every((other) => overlap(box, other.box) <= OVERLAP) &&
      this.shelters.every((other) => overlap(box, other) <= OVERLAP)
    );
  }

  /** Whether neither an object nor the ground that is seen around it is lit. */
  private isDark(box: Box, pools: readonly Pool[]): boolean {
    const [x1, y1, x2, y2] = box;
    const [middleX, middleY] = [(x1 + x2) / 2, (y1 + y2) / 2];
    return [x1, middleX, x2].every((x) =>
      [y1, middleY, y2].every((y) => brightness(lightAt(pools, 0, [x, y])) <= DARK),
    );
  }

  /** Whether a new light would show an object that is to stay in the dark. */
  private wouldLight(pool: Pool): boolean {
    return this.objects.some(({ seenBy, box }) => seenBy === 'infrared' && !this.isDark(box, [pool]));
  }

  /** The first of some random places that will do; null when none does. */
  private find(place: () => Point, accept: (foot: Point) => boolean): Point | null {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const foot = place();
      if (accept(foot)) return foot;
    }
    return null;
  }
}
