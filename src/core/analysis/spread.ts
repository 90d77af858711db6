/** Spreads units along links to a fixed point: finds which positions have a unit, and which units are the same. */
import { DisjointSets } from "../math/disjoint-sets.ts";
import { groupBy } from "../tensor/group-by.ts";
import { endKey, type Link } from "./channel-links.ts";
import { type Along, type Labels, sizeAlong } from "./units.ts";

interface LinkRule {
  readonly links: readonly Link[];
}

/** Axes of one operand that link to the same axis, such as those that a Flatten merges. */
export interface Alternatives {
  readonly links: readonly Link[];
  chosen: Link | undefined;
}

export function alternativesIn(rules: readonly LinkRule[]): readonly Alternatives[] {
  return rules.flatMap(({ links }) =>
    [...groupBy(links, ({ from, to }) => `${from.port} ${endKey(to)}`).values()].map((set) => ({
      links: set,
      chosen: undefined,
    })),
  );
}

export function closedLinks(alternatives: readonly Alternatives[]): ReadonlySet<Link> {
  return new Set(
    alternatives.flatMap(({ links, chosen }) => (chosen === undefined ? [] : links.filter((link) => link !== chosen))),
  );
}

/**
 * Spreads units: forward from index i to the positions map(i), backward if map(i) has a single unit. Of alternatives, one must apply; if none does,
 * the units of each image of the chosen (or outermost) one are merged.
 */
export function spread(rules: readonly LinkRule[], labels: Labels, alternatives = alternativesIn(rules)): void {
  const closed = closedLinks(alternatives);
  const open = rules.flatMap(({ links }) =>
    links.filter((link) => !closed.has(link) && (link.hasImages || !labels.tie(link.from, link.to))),
  );
  for (const part of connected(open, alternatives, labels)) settle(part, labels);
}

interface Part {
  readonly links: Link[];
  readonly alternatives: Alternatives[];
}

/** Splits links into independent parts, so that a merge in one block needs no search in the others. */
function connected(links: readonly Link[], alternatives: readonly Alternatives[], labels: Labels): Iterable<Part> {
  const sets = new DisjointSets();
  const numbers = new Map<object, number>();
  const numberOf = (end: Along): number | undefined => {
    const track = labels.trackOf(end);
    if (track === undefined) return undefined;
    const number = numbers.get(track) ?? sets.add();
    numbers.set(track, number);
    return number;
  };
  for (const { from, to } of links) {
    const [a, b] = [numberOf(from), numberOf(to)];
    if (a !== undefined && b !== undefined) sets.join(a, b);
  }
  const parts = new Map<number, Part>();
  const partOf = ({ to }: Link): Part | undefined => {
    const number = numberOf(to);
    if (number === undefined) return undefined;
    const part = parts.get(sets.find(number)) ?? { links: [], alternatives: [] };
    parts.set(sets.find(number), part);
    return part;
  };
  for (const link of links) partOf(link)?.links.push(link);
  for (const set of alternatives) {
    const [link] = set.links;
    if (link !== undefined) partOf(link)?.alternatives.push(set);
  }
  return parts.values();
}

function settle({ links, alternatives }: Part, labels: Labels): void {
  const backwards = links.toReversed();
  const done = new Map<Link, LabelCounts>();
  do {
    let changed: boolean;
    do {
      const before = labels.changes;
      for (const link of links) followOnce(link, labels, done);
      for (const link of backwards) followOnce(link, labels, done);
      changed = labels.changes !== before;
    } while (changed);
    // Merges at one node at a time: they can decide the next rule.
  } while (alternatives.some((set) => joinAlternatives(set, labels)));
}

interface LabelCounts {
  readonly changes: number;
  readonly joins: number;
}

/** Follows a link unless its axes got no unit and, with images, no units merged since: most of a deep network is at rest in most sweeps. */
function followOnce(link: Link, labels: Labels, done: Map<Link, LabelCounts>): void {
  const { from, to, hasImages } = link;
  const last = done.get(link);
  const since = last?.changes ?? -1;
  const isAtRest = labels.lastReached(from) <= since && labels.lastReached(to) <= since;
  if (isAtRest && (!hasImages || labels.joins === last?.joins)) return;
  done.set(link, { changes: labels.changes, joins: labels.joins });
  follow(link, labels);
}

function follow(link: Link, labels: Labels): void {
  const { from, to } = link;
  const start = labels.at(from);
  // Images take memory, so only those of reached axes are computed.
  if (start === undefined && labels.at(to) === undefined) return;
  const { images } = link;
  if (start !== undefined) labels.assign(to, start.length, (index) => start[index] ?? -1, images);
  const end = labels.at(to);
  const size = sizeAlong(from);
  if (end === undefined || size === undefined || from.value === undefined) return;
  const unitAt = (index: number): number =>
    images === undefined ? (end[index] ?? -1) : labels.common(end, images[index] ?? []);
  labels.assign(from, size, unitAt);
}

/** If no alternative accounts for all labeled positions, merges the units of each image of the chosen (or outermost) one. Returns whether it did. */
function joinAlternatives({ links, chosen }: Alternatives, labels: Labels): boolean {
  const link = chosen ?? links[0];
  const end = link && labels.at(link.to);
  if (end === undefined || link?.images === undefined) return false;
  const covered = new Uint8Array(end.length);
  for (const { images = [] } of chosen === undefined ? links : [chosen])
    images.forEach((image) => {
      if (labels.common(end, image) < 0) return;
      for (let at = 0; at < image.length; at++) covered[image[at] ?? 0] = 1;
    });
  let joined = false;
  link.images.forEach((image) => {
    const open = image.find((position) => (end[position] ?? -1) >= 0 && covered[position] === 0);
    const unit = open === undefined ? undefined : end[open];
    if (unit === undefined) return;
    labels.assign(link.to, 1, () => unit, [image]);
    joined = true;
  });
  return joined;
}
