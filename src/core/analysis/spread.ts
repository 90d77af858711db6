/** Spreads units along links until nothing changes. Finds which positions have a unit and which units are identical. */
import { DisjointSets } from "../math/disjoint-sets.ts";
import { groupBy } from "../tensor/group-by.ts";
import { endKey, type Link } from "./channel-links.ts";
import { type Along, type Labels, sizeAlong } from "./units.ts";

interface LinkRule {
  readonly links: readonly Link[];
}

/** Links from one operand to the same output axis, such as those of the axes that a Flatten merges. */
export interface Alternatives {
  readonly links: readonly Link[];
  /** The link that units follow; undefined if any link may apply. */
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

/** Returns the links that units do not follow, because another alternative was chosen. */
export function closedLinks(alternatives: readonly Alternatives[]): ReadonlySet<Link> {
  return new Set(
    alternatives.flatMap(({ links, chosen }) => (chosen === undefined ? [] : links.filter((link) => link !== chosen))),
  );
}

/**
 * Spreads units along links. A unit at index i spreads forward to the positions map(i). If all positions map(i) have one unit, it spreads backward to
 * i. Among alternatives, at least one must apply. If none does, the units of each image of the chosen (or outermost) link are merged.
 */
export function spread(rules: readonly LinkRule[], labels: Labels, alternatives = alternativesIn(rules)): void {
  const closed = closedLinks(alternatives);
  const open = rules.flatMap(({ links }) =>
    links.filter((link) => !closed.has(link) && (link.hasImages || !labels.tie(link.from, link.to))),
  );
  for (const part of independentParts(open, alternatives, labels)) settle(part, labels);
}

interface Part {
  readonly links: Link[];
  readonly alternatives: Alternatives[];
}

/** Splits links into independent parts, so that a merge in one part does not require a new sweep over the others. */
function independentParts(
  links: readonly Link[],
  alternatives: readonly Alternatives[],
  labels: Labels,
): Iterable<Part> {
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
  const lastFollowed = new Map<Link, LabelCounts>();
  do {
    let changed: boolean;
    do {
      const before = labels.changes;
      for (const link of links) followOnce(link, labels, lastFollowed);
      for (const link of backwards) followOnce(link, labels, lastFollowed);
      changed = labels.changes !== before;
    } while (changed);
    // Merges the axes of one node at a time, because one merge can make the next unnecessary.
  } while (alternatives.some((set) => joinAlternatives(set, labels)));
}

interface LabelCounts {
  readonly changes: number;
  readonly joins: number;
}

/**
 * Follows a link if it can have new units: one of its axes got a unit since the last time, or the link has
 * images and units merged. In a deep network, most links are skipped in most sweeps.
 */
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
  // Images need memory, so they are computed only for axes that units have reached.
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

/**
 * Merges the units of each image of the chosen (or outermost) link if some labeled positions are not covered by
 * any alternative. Returns whether units were merged.
 */
function joinAlternatives({ links, chosen }: Alternatives, labels: Labels): boolean {
  const link = chosen ?? links[0];
  const end = link && labels.at(link.to);
  if (end === undefined || link?.images === undefined) return false;
  const covered = new Uint8Array(end.length);
  for (const { images = [] } of chosen === undefined ? links : [chosen])
    images.forEach((image) => {
      if (labels.common(end, image) < 0) return;
      for (let index = 0; index < image.length; index++) covered[image[index] ?? 0] = 1;
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
