import { hexColor } from './color.ts';
import { type Drawing, fontSize } from './drawing.ts';
import { escapeHtml } from './page.ts';

/** A drawing as SVG. Rectangles of one colour are one path. */
export function svg({ width, height, title, background, rects, texts }: Drawing): string {
  const paths = new Map<string, string[]>();
  for (const { x, y, width: w, height: h, color } of rects) {
    const key = hexColor(color);
    const path = paths.get(key);
    const piece = `M${x} ${y}h${w}v${h}h${-w}z`;
    if (path === undefined) paths.set(key, [piece]);
    else path.push(piece);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" shape-rendering="crispEdges">
<title>${escapeHtml(title)}</title>
<rect width="${width}" height="${height}" fill="${hexColor(background)}"/>
${[...paths].map(([color, pieces]) => `<path fill="${color}" d="${pieces.join('')}"/>`).join('\n')}
<g font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="${fontSize}">
${texts.map(({ x, y, text, anchor, color }) => `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${hexColor(color)}">${escapeHtml(text)}</text>`).join('\n')}
</g>
</svg>
`;
}
