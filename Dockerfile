# Pocketwatch as a container: DATABASE_URL, AMQP_URL and a token are all it needs.
#   docker build -t pocketwatch .
#   docker run --rm pocketwatch node dist/main.js tokens create --name <whose> --scope admin
#   docker run -e DATABASE_URL=… -e AMQP_URL=… -e API_TOKENS=<entry> -p 127.0.0.1:7420:7420 pocketwatch

FROM node:22-slim AS build
WORKDIR /app
# Before the sources, so that editing those does not fetch every package again.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:22-slim
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY drizzle drizzle
COPY contracts contracts
ENV NODE_ENV=production
# Inside a container loopback reaches nobody, so the service starts with tokens only (API_TOKENS or API_TOKENS_FILE).
ENV HTTP_HOST=0.0.0.0
EXPOSE 7420
USER node
# Alive, not ready: a container must not be restarted because its database or broker is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.HTTP_PORT || 7420) + '/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--enable-source-maps", "dist/main.js", "serve"]
