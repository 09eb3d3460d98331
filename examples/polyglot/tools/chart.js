// Draws the share of late departures by month as bars: node chart.js SHARES.json TITLE > chart.svg
const fs = require("fs");
const [file, title] = process.argv.slice(2);
const shares = Object.entries(JSON.parse(fs.readFileSync(file, "utf8")));
const [width, height, bar] = [640, 300, 40];
const most = Math.max(...shares.map(([, share]) => share));
const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const bars = shares.map(([month, share], index) => {
  const x = 40 + index * (bar + 8);
  const tall = Math.round((share / most) * 200);
  return `  <rect x="${x}" y="${250 - tall}" width="${bar}" height="${tall}" fill="#3b6ea5"><title>${month}: ${share}</title></rect>
  <text x="${x + bar / 2}" y="268" text-anchor="middle">${month.slice(5)}</text>
  <text x="${x + bar / 2}" y="${244 - tall}" text-anchor="middle">${(100 * share).toFixed(0)}</text>`;
});
process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
  <text x="40" y="24" font-size="16">${escape(title)}</text>
${bars.join("\n")}
</svg>
`);
