module look-alike

go 1.24
