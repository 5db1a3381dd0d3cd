// Hydra as it is published, and what a test needs of a Postgres before and after it.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/ory/hydra/v2/cmd"
)

func main() {
	if len(os.Args) == 3 {
		switch name := (pgx.Identifier{os.Args[2]}).Sanitize(); os.Args[1] {
		case "create-database":
			execute("CREATE DATABASE " + name)
			return
		case "drop-database":
			execute("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
			return
		}
	}
	cmd.Execute()
}

// Runs one statement on the Postgres that SERVER names; ends the process if it fails.
func execute(statement string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection, err := pgx.Connect(ctx, os.Getenv("SERVER"))
	if err == nil {
		_, err = connection.Exec(ctx, statement)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
