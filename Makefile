# What a newcomer needs: `make help`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up down test bench

help: ## list the commands
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## build Minato, start a one-machine cluster in ./.minato, run the guestbook in it (needs root)
	@scripts/up

down: ## stop that cluster and take everything of it off the machine; its data stays in ./.minato
	@scripts/down

test: ## run every test there is; without root those that need none
	@scripts/test

bench: ## build for release and measure; the figures depend on the machine
	@scripts/bench
