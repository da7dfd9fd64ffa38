package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// source is the files of a package, and which of its functions decide nothing.
type source struct {
	fset  *token.FileSet
	files map[string]*ast.File
	// idle are the declarations of functions that decide nothing.
	idle map[*ast.FuncDecl]bool
}

// parse reads the files of a package that are no tests.
func parse(dir string) (*source, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{fset: token.NewFileSet(), files: map[string]*ast.File{}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if s.files[filepath.Base(name)], err = parser.ParseFile(s.fset, name, text, 0); err != nil {
			return nil, err
		}
	}
	s.findIdle()
	return s, nil
}

// exempt reports whether a block does not count. Two kinds do not. Functions that decide nothing: they describe for people
// (String, and what is called for that alone), they load caches (what uses package warm), or they are fail itself. And
// reports of what no correct run reaches: a branch that stops the member by fail, that is there for a member that was
// stopped so, or that returns an error. Errors here are about what cannot be on a disk or in a message, unless
// somebody broke it; refusals are none, and count.
func (s *source) exempt(b block) bool {
	file := s.files[b.file]
	if file == nil {
		return false
	}
	tokens := s.fset.File(file.Pos())
	at := tokens.LineStart(b.line) + token.Pos(b.column-1)
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Pos() <= at && at < f.End() {
			return s.idle[f] || reports(f, at)
		}
	}
	return false
}

// reports reports whether the innermost branch of a function at a place is a report.
func reports(f *ast.FuncDecl, at token.Pos) (is bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if n == nil || at < n.Pos() || at >= n.End() {
			return false
		}
		switch n := n.(type) {
		case *ast.IfStmt:
			if n.Body.Pos() <= at && at < n.Body.End() {
				is = is || ifFailed(n.Cond) || endsBadly(f, n.Body.List)
			}
		case *ast.CaseClause:
			if at >= n.Colon {
				is = is || endsBadly(f, n.Body)
			}
		}
		return true
	})
	return is
}

// ifFailed reports whether a condition is that the member was stopped.
func ifFailed(cond ast.Expr) bool {
	c, ok := cond.(*ast.BinaryExpr)
	return ok && c.Op == token.NEQ && name(c.X) == "failed"
}

// endsBadly reports whether statements of a branch themselves, not of branches in it, call fail or return an error.
func endsBadly(f *ast.FuncDecl, list []ast.Stmt) bool {
	for _, stmt := range list {
		switch stmt := stmt.(type) {
		case *ast.ExprStmt:
			if call, ok := stmt.X.(*ast.CallExpr); ok && name(call.Fun) == "fail" {
				return true
			}
		case *ast.ReturnStmt:
			results := f.Type.Results
			if n := len(stmt.Results); n > 0 && name(results.List[len(results.List)-1].Type) == "error" {
				return name(stmt.Results[n-1]) != "nil"
			}
		}
	}
	return false
}

// findIdle finds the functions that decide nothing. One that is not exported, and that only these use, is one of them.
func (s *source) findIdle() {
	s.idle = map[*ast.FuncDecl]bool{}
	all := s.functions()
	for _, f := range all {
		n := f.Name.Name
		s.idle[f] = n == "String" || n == "fail" || mentions(f.Body, "warm")
	}
	for changed := true; changed; {
		changed = false
		for _, f := range all {
			if !s.idle[f] && !f.Name.IsExported() && f.Name.Name != "init" && s.usedByIdle(f) {
				s.idle[f], changed = true, true
			}
		}
	}
}

// usedByIdle reports whether a function is used, and by none but those that decide nothing and itself.
func (s *source) usedByIdle(f *ast.FuncDecl) bool {
	used := false
	for _, file := range s.files {
		for _, d := range file.Decls {
			if by, ok := d.(*ast.FuncDecl); ok && (by == f || s.idle[by] && by.Name.Name != "fail") {
				used = used || by != f && mentions(by.Body, f.Name.Name)
			} else if ok && mentions(by.Body, f.Name.Name) || !ok && mentions(d, f.Name.Name) {
				return false
			}
		}
	}
	return used
}

// functions returns all functions that have a body.
func (s *source) functions() (all []*ast.FuncDecl) {
	for _, file := range s.files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				all = append(all, f)
			}
		}
	}
	return all
}

// mentions reports whether a name occurs below a node.
func mentions(n ast.Node, what string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == what {
			found = true
		}
		return !found
	})
	return found
}

// name returns an expression's last name, "" if it is no name.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
